//! librdkafka's statistics, as the meter has them.

use std::time::Duration;

use rdkafka::Statistics;

use crate::meter::EngineStats;

/// The figures of a client.
pub(super) fn figures(statistics: &Statistics) -> EngineStats {
    let count = |figure: i64| u64::try_from(figure).unwrap_or(0);
    let mut stats = EngineStats {
        pushed: count(statistics.txmsgs),
        pushed_bytes: count(statistics.txmsg_bytes),
        delivered: count(statistics.rxmsgs),
        delivered_bytes: count(statistics.rxmsg_bytes),
        waiting: statistics.msg_cnt,
        waiting_bytes: statistics.msg_size,
        ..EngineStats::default()
    };
    for broker in statistics.brokers.values() {
        stats.connections += u64::from(broker.state == "UP" && broker.nodeid >= 0);
        stats.errors += broker.txerrs + broker.rxerrs + broker.req_timeouts;
        stats.retries += broker.txretries;
        let answered = broker.rtt.as_ref().filter(|rtt| rtt.cnt > 0);
        let time = answered.map(|rtt| Duration::from_micros(count(rtt.avg)));
        stats.round_trip = stats.round_trip.max(time);
    }
    let topics = statistics.topics.values();
    for partition in topics.flat_map(|topic| topic.partitions.values()) {
        stats.waiting += count(partition.fetchq_cnt);
        stats.waiting_bytes += partition.fetchq_size;
        if let Ok(lag) = u64::try_from(partition.consumer_lag) {
            stats.lag = Some(stats.lag.unwrap_or(0) + lag);
        }
    }
    stats
}
