//! Who holds and waits, for the graph that sees deadlocks form.

use super::host::Host;
use super::runtime::Runtime;
use super::task::TaskContext;
use crate::machine::wait_for::{Awaits, Link, Owner as Name, Resource, Waiter};
use crate::machine::world::Parent;
use std::fmt;

/// A name under which locks are held and waited for: whoever declares it passes the locks it holds already, and hears of
/// a deadlock the moment it forms.
///
/// To declare an owner is to say that it does nothing else while it waits. A [`TaskContext`] is an owner too, so that a
/// task's slot counts among the things it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    number: u64,
    place: Option<Waiter>,
}

impl Owner {
    /// An owner that nobody else is.
    pub fn new<R: Runtime>(host: &Host<R>) -> Self {
        Self {
            number: host.number(),
            place: None,
        }
    }

    pub(crate) fn numbered(number: u64) -> Self {
        Self { number, place: None }
    }

    /// The number by which chains name it.
    pub fn id(&self) -> u64 {
        self.number
    }

    pub(crate) fn as_parent(&self) -> Parent {
        Parent {
            task: self.number,
            place: self.place,
        }
    }
}

impl From<&TaskContext> for Owner {
    fn from(context: &TaskContext) -> Self {
        Self {
            number: context.id,
            place: context.place,
        }
    }
}

impl From<&Owner> for Owner {
    fn from(owner: &Owner) -> Self {
        *owner
    }
}

/// One step of a deadlock: who waits, and for what. The next step's owner holds it, or is it; the last step leads back to
/// the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadlockStep {
    /// The task's or owner's number; `None` for a request that named nobody.
    pub owner: Option<u64>,
    /// What it waits for, in words.
    pub awaits: String,
}

impl DeadlockStep {
    pub(crate) fn chain(links: &[Link], label: impl Fn(Resource) -> String) -> Vec<Self> {
        let number = |name| match name {
            Name::Named(number) => Some(number),
            Name::Request(_) => None,
        };
        let next = links.iter().cycle().skip(1);
        let steps = links.iter().zip(next).map(|(link, next)| Self {
            owner: number(link.owner),
            awaits: match link.awaits {
                Awaits::Resource(resource) => label(resource),
                Awaits::End => match number(next.owner) {
                    Some(number) => format!("the end of {number}"),
                    None => "the end of another".to_owned(),
                },
            },
        });
        steps.collect()
    }
}

impl fmt::Display for DeadlockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(number) => write!(f, "{number} waits for {}", self.awaits),
            None => write!(f, "a request waits for {}", self.awaits),
        }
    }
}
