//! What a pump says about its end.

use std::error::Error;
use std::fmt;

/// How a pump ended without an error.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pumped {
    /// Items that the sink took.
    pub items: u64,
    /// Which side ended the pump.
    pub ended: Ended,
}

impl fmt::Display for Pumped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items, ended by {}", self.items, self.ended)
    }
}

/// Which side ended a pump.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The stream had no more items.
    Source,
    /// The sink failed or was closed from its far side. The pump then ends with an error: [`PumpError::pumped`] has this.
    Sink,
    /// The future given to [`Pump::until`](super::Pump::until) resolved.
    Until,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "its source",
            Self::Sink => "its sink",
            Self::Until => "`until`",
        })
    }
}

/// The sink ended a pump: its error, the item that could not go where there is one, and how many went before.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub struct PumpError<T, E> {
    /// What the sink said.
    pub error: E,
    /// The item that was pulled and that the sink had not taken. `None` where the sink failed over an item it had
    /// taken, or while it was flushed or closed.
    pub item: Option<T>,
    /// Items that the sink took before. Those since its last flush may not have arrived.
    pub items: u64,
}

impl<T, E> PumpError<T, E> {
    /// The same report as of a pump that ended well, with [`Ended::Sink`].
    pub fn pumped(&self) -> Pumped {
        Pumped {
            items: self.items,
            ended: Ended::Sink,
        }
    }

    /// The item that could not go, where there is one.
    pub fn into_item(self) -> Option<T> {
        self.item
    }

    /// What the sink said, without the item: for `?`, where items may not travel in an error.
    pub fn into_error(self) -> E {
        self.error
    }
}

impl<T, E: fmt::Debug> fmt::Debug for PumpError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PumpError")
            .field("error", &self.error)
            .field("has_item", &self.item.is_some())
            .field("items", &self.items)
            .finish()
    }
}

impl<T, E> fmt::Display for PumpError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sink of a pump failed after {} items", self.items)
    }
}

impl<T, E: Error + 'static> Error for PumpError<T, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
