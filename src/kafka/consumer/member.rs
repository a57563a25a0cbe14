//! A member of a group, as its seat sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::remote::{Engine, Place, Seat};
use crate::broker::{Capabilities, ConsumerConfig, Error, Record, Start, Topic, TopicConfig};
use crate::kafka::fault;
use crate::kafka::shared::Shared;

pub(crate) struct Member {
    shared: Arc<Shared>,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, _config: &ConsumerConfig) -> Self {
        Self { shared }
    }
}

impl Engine for Member {
    type Ticket = ();
    const SINGLE: bool = false;

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    async fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.shared.find(topic).await.map(|known| known.partitions)
    }

    async fn prepare(&self, dead_letter: &Topic) -> Result<(), Error> {
        match self.shared.find(dead_letter).await {
            Err(Error::UnknownTopic { .. }) => {}
            found => return found.map(|_known| ()),
        }
        // Whatever a topic took, and the headers that are added.
        let one = TopicConfig::partitions(1).max_record_bytes(usize::MAX);
        match self.shared.create_topic(dead_letter.clone(), one).await {
            // Somebody else has created it meanwhile, with more partitions.
            Err(Error::TopicExists { .. }) => Ok(()),
            created => created,
        }
    }

    async fn subscribe(
        &self,
        _seat: &Arc<Seat<Self>>,
        _topics: BTreeMap<Topic, u32>,
    ) -> Result<(), Error> {
        Err(fault::unsupported("be read yet"))
    }

    async fn resolve(&self, _topic: &Topic, _partition: u32, _start: Start) -> Result<u64, Error> {
        Err(fault::unsupported("be read yet"))
    }

    fn seek(&self, _place: Place, _to: u64, _epoch: u64) {}

    fn nudge(&self) {}

    async fn stored(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn committed(&self, _topic: &Topic, _partition: u32) -> Result<Option<u64>, Error> {
        Err(fault::unsupported("be read yet"))
    }

    async fn lag(&self, _topic: &Topic, _partition: u32, _low: Option<u64>) -> Result<u64, Error> {
        Err(fault::unsupported("be read yet"))
    }

    async fn bury(&self, record: Record) -> Result<(), Error> {
        let producer = crate::kafka::Producer::new(Arc::clone(&self.shared));
        crate::broker::Producer::push(&producer, record).await?;
        Ok(())
    }

    async fn leave(&self) -> Result<(), Error> {
        Ok(())
    }
}
