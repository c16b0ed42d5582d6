//! A barrier at which tasks wait for each other.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::Stage;
use super::runtime::Runtime;
use super::turn::{Room, Turn, patience};
use crate::machine::barrier::{Arrival, Barrier as Machine};
use crate::machine::config::ConfigError;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Lets nobody pass until a number of parties have arrived, then all of them, and begins again.
///
/// Whoever leaves early, by a dropped future or a timeout, gives its place back; the barrier is not broken for the
/// others, who wait for somebody else instead. [`close`](Self::close) ends waiting. Clones are handles of the same barrier.
///
/// # Examples
///
/// ```
/// use tidegate::{Barrier, Host, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let barrier = Barrier::new(&Host::new(runtime.clone()), 2)?;
/// let (first, second) = runtime.block_on(async { futures::join!(barrier.wait(), barrier.wait()) });
/// let (first, second) = (first?, second?);
/// assert_eq!((first.generation, second.generation), (0, 0));
/// assert!(second.is_last && !first.is_last);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Barrier<R: Runtime>(Rc<Room<R>>);

/// How a party passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Which generation passed, counted from 0.
    pub generation: u64,
    /// Whether this party was the one that completed it: exactly one is, to do what is to be done once.
    pub is_last: bool,
}

impl<R: Runtime> Barrier<R> {
    /// A barrier for so many parties.
    ///
    /// # Errors
    ///
    /// For no parties at all, and when the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>, parties: u32) -> Result<Self, ConfigError> {
        let barrier = Machine::new(parties)?;
        Room::open(
            host,
            "barriers",
            |world| world.open_barrier(barrier),
            World::drop_barrier,
        )
        .map(Self)
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.name(name.into());
        self
    }

    /// Arrives, and waits for the others for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place back. One that is dropped after the others have come has been counted: they
    /// have passed.
    pub async fn wait(&self) -> Result<Passed, AcquireError> {
        self.wait_for(None).await.map_err(|refusal| self.0.error(refusal))
    }

    /// Arrives, and waits for the others at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`], and the place has been given back; [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_within(&self, timeout: Duration) -> Result<Passed, AcquireError> {
        self.wait_for(Some(timeout))
            .await
            .map_err(|refusal| self.0.error(refusal))
    }

    /// Ends waiting: those who have arrived, and whoever arrives later, are turned away.
    pub fn close(&self) {
        self.0
            .call(|world, now, id| world.at_barrier(id, |barrier, wakes| barrier.close(now, wakes)));
    }

    /// How many parties it takes.
    pub fn parties(&self) -> u32 {
        self.0
            .look(|world, id| world.barrier(id).map_or(0, |barrier| barrier.parties()))
    }

    /// How many have arrived and wait.
    pub fn waiting(&self) -> usize {
        self.0
            .look(|world, id| world.barrier(id).map_or(0, |barrier| barrier.waiting()))
    }

    /// Which generation is gathering, counted from 0.
    pub fn generation(&self) -> u64 {
        self.0
            .look(|world, id| world.barrier(id).map_or(0, |barrier| barrier.generation()))
    }

    async fn wait_for(&self, timeout: Option<Duration>) -> Result<Passed, Refusal> {
        let (id, generation) = (self.0.id, self.generation());
        let answer = self.0.host.call_quietly(|world, now| {
            world.at_barrier(id, |barrier, wakes| barrier.arrive(now, patience(timeout), wakes))
        });
        match answer {
            Some(Arrival::Waiting(ticket)) => {
                let turn = Turn::take(&self.0, ticket, Stage::Queued, |world, _, id, ticket| {
                    world.at_barrier(id, |barrier, _| barrier.cancel(ticket));
                });
                turn.come().await?;
                Ok(Passed {
                    generation,
                    is_last: false,
                })
            }
            Some(Arrival::Last { generation }) => {
                self.0.host.drain();
                Ok(Passed {
                    generation,
                    is_last: true,
                })
            }
            Some(Arrival::Refused(refusal)) => {
                self.0.host.drain();
                Err(refusal)
            }
            None => Err(Refusal::Closed),
        }
    }
}

impl<R: Runtime> Clone for Barrier<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Barrier<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::virtual_runtime::VirtualRuntime;
    use futures::FutureExt;
    use futures::future::join_all;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn barrier(parties: u32) -> (VirtualRuntime, Barrier<VirtualRuntime>) {
        let runtime = VirtualRuntime::new();
        let barrier = Barrier::new(&Host::new(runtime.clone()), parties).unwrap();
        (runtime, barrier)
    }

    #[test]
    fn a_barrier_for_nobody_is_refused_with_a_sentence() {
        let error = Barrier::new(&Host::new(VirtualRuntime::new()), 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Expected `parties` to be an integer ≥ 1, got `0`"
        );
    }

    #[test]
    fn all_pass_together_and_one_of_each_generation_is_the_last() {
        let (runtime, barrier) = barrier(3);
        let passed = runtime.block_on(join_all((0..6).map(|_| barrier.wait())));
        let passed: Vec<Passed> = passed.into_iter().map(Result::unwrap).collect();
        for generation in 0..2 {
            let of_generation = passed.iter().filter(|passed| passed.generation == generation);
            assert_eq!(of_generation.clone().count(), 3);
            assert_eq!(of_generation.filter(|passed| passed.is_last).count(), 1);
        }
    }

    #[test]
    fn closing_turns_away_who_has_arrived_and_whoever_arrives_later() {
        let (runtime, barrier) = barrier(2);
        let mut waits = Box::pin(barrier.wait());
        assert!(waits.as_mut().now_or_never().is_none());
        barrier.close();
        assert_eq!(waits.now_or_never(), Some(Err(AcquireError::Closed)));
        let late = runtime.block_on(barrier.wait_within(Duration::from_secs(1)));
        assert_eq!(late, Err(AcquireError::Closed));
        assert_eq!((barrier.waiting(), barrier.generation()), (0, 0));
    }

    #[test]
    fn whoever_leaves_gives_its_place_back() {
        let (runtime, barrier) = barrier(2);
        assert!(barrier.wait().now_or_never().is_none());
        assert_eq!(barrier.waiting(), 0);
        let late = runtime.block_on(barrier.wait_within(Duration::from_secs(1)));
        assert_eq!(late, Err(AcquireError::QueueTimeout));
        assert_eq!((barrier.waiting(), barrier.generation()), (0, 0));
    }
}
