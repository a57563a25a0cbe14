//! What the subject says by which a message is answered.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the server says of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// How often the message was delivered, this time included.
    pub(super) delivered: u64,
    /// Its place in the stream.
    pub(super) stream: u64,
    /// Counts the deliveries of the durable.
    pub(super) consumer: u64,
    nanoseconds: u64,
}

impl Told {
    /// Reads `$JS.ACK.<stream>.<durable>.<delivered>.<stream>.<consumer>.<time>.<pending>`, or what newer servers make of it,
    /// with the domain and the account before the stream.
    pub(super) fn read(reply: &str) -> Option<Self> {
        let rest = reply.strip_prefix("$JS.ACK.")?;
        let tokens = rest.split('.').count();
        let skip = if tokens >= 9 { 4 } else { 2 };
        let mut numbers = rest.split('.').skip(skip).map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            delivered: next()?,
            stream: next()?,
            consumer: next()?,
            nanoseconds: next()?,
        })
    }

    /// When the stream took the message.
    pub(super) fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.nanoseconds)
    }
}

/// A subject that answers a delivery which somebody else received. The server goes by the place in the stream; `delivery` has to
/// be one behind those that are acknowledged.
pub(super) fn of(stream: &str, durable: &str, offset: u64, delivery: u64) -> String {
    format!("$JS.ACK.{stream}.{durable}.1.{offset}.{delivery}.0.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read() {
        let told = Told {
            delivered: 2,
            stream: 17,
            consumer: 5,
            nanoseconds: 1_600_000_000_000_000_000,
        };
        for subject in [
            "$JS.ACK.orders.billing_0.2.17.5.1600000000000000000.9",
            "$JS.ACK.hub.ABCD.orders.billing_0.2.17.5.1600000000000000000.9",
            "$JS.ACK._.ABCD.orders.billing_0.2.17.5.1600000000000000000.9.token",
        ] {
            assert_eq!(Told::read(subject), Some(told), "{subject}");
        }
        assert_eq!(Told::read("_INBOX.abc"), None);
        assert_eq!(Told::read("$JS.ACK.orders.billing.x.1.1.1.1"), None);
        let made = Told::read(&of("orders", "billing_0", 17, 5)).unwrap();
        assert_eq!(made.stream, 17);
    }
}
