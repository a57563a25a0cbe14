//! What librdkafka says to a consumer's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::link::{Link, Said};
use crate::kafka::stats::figures;
use crate::meter::EngineMeter;
use crate::sync::AtomicBool;

/// Puts everything into the thread's inbox: it answers when it is ready to.
pub(super) struct Says {
    link: Arc<Link>,
    /// Nobody reads the inbox any more.
    closing: AtomicBool,
    meter: Option<Arc<EngineMeter>>,
}

impl Says {
    pub(super) fn new(link: Arc<Link>, meter: Option<Arc<EngineMeter>>) -> Self {
        Self {
            link,
            closing: AtomicBool::new(false),
            meter,
        }
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Says {
    fn stats(&self, statistics: Statistics) {
        if let Some(meter) = &self.meter {
            meter.set(figures(&statistics));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let code = code.unwrap_or(RDKafkaErrorCode::Fail);
        self.link.say(Said::Trouble(code, reason.to_owned()));
    }
}

impl ConsumerContext for Says {
    /// librdkafka waits until partitions are assigned, or given up, which the thread does.
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigns = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            // Without an answer the client would wait for ever; it is closing, so an error changes nothing.
            let _closing = client.unassign();
        } else if assigns {
            let partitions = partitions.elements();
            let named = partitions
                .iter()
                .map(|it| (it.topic().to_owned(), it.partition()));
            self.link.say(Said::Assign(named.collect()));
        } else {
            let lost = client.assignment_lost();
            self.link.say(Said::Revoke { lost });
        }
    }
}
