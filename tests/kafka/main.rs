//! Kafka's adapter, on librdkafka's mock cluster, or on a real one through `KAFKA_BROKERS` where no fault is ordered.

mod consuming;
mod edges;
mod kit;
mod measuring;
mod producing;
mod rebalancing;
