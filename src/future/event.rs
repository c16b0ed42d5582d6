//! An event that tasks wait for.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::ledger::Stage;
use super::runtime::Runtime;
use super::turn::{Room, Turn, patience};
use crate::machine::config::ConfigError;
use crate::machine::event::Wait;
use crate::machine::wakes::Refusal;
use crate::machine::world::World;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A flag that can be set, cleared and waited for.
///
/// While it is set everybody passes. Setting it lets all who wait go, in the order in which they came; clearing it
/// afterwards takes nothing back from them. [`close`](Self::close) ends waiting. Clones are handles of the same event.
///
/// # Examples
///
/// ```
/// use tidegate::{Event, Host, Runtime, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let ready = Event::new(&Host::new(runtime.clone()))?;
/// let setter = ready.clone();
/// runtime.spawn(async move { setter.set() });
/// runtime.block_on(ready.wait())?;
/// assert!(ready.is_set());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Event<R: Runtime>(Rc<Room<R>>);

impl<R: Runtime> Event<R> {
    /// An event that is not set.
    ///
    /// # Errors
    ///
    /// When the host holds more machines than there are numbers for.
    pub fn new(host: &Host<R>) -> Result<Self, ConfigError> {
        Room::open(host, "events", World::open_event, World::drop_event).map(Self)
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.name(name.into());
        self
    }

    /// Sets it: all who wait go, and whoever comes passes until it is cleared.
    pub fn set(&self) {
        self.0
            .call(|world, now, id| world.at_event(id, |event, wakes| event.set(now, wakes)));
    }

    /// Clears it: whoever comes from now on waits.
    pub fn clear(&self) {
        self.0
            .call(|world, _, id| world.at_event(id, |event, _| event.clear()));
    }

    /// Ends waiting: those who wait, and who come later while it is not set, are turned away. It can still be set, and
    /// whoever finds it set passes.
    pub fn close(&self) {
        self.0
            .call(|world, now, id| world.at_event(id, |event, wakes| event.close(now, wakes)));
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0
            .look(|world, id| world.event(id).is_some_and(|event| event.is_set()))
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        self.0
            .look(|world, id| world.event(id).map_or(0, |event| event.waiting()))
    }

    /// Waits until it is set, for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves at once; nothing else changes.
    pub async fn wait(&self) -> Result<(), AcquireError> {
        self.wait_for(None).await.map_err(|refusal| self.0.error(refusal))
    }

    /// Waits until it is set, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`], [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_within(&self, timeout: Duration) -> Result<(), AcquireError> {
        self.wait_for(Some(timeout))
            .await
            .map_err(|refusal| self.0.error(refusal))
    }

    async fn wait_for(&self, timeout: Option<Duration>) -> Result<(), Refusal> {
        let id = self.0.id;
        let answer = self.0.host.call_quietly(|world, now| {
            world.at_event(id, |event, wakes| event.wait(now, patience(timeout), wakes))
        });
        match answer {
            Some(Wait::Waiting(ticket)) => {
                let turn = Turn::take(&self.0, ticket, Stage::Queued, |world, _, id, ticket| {
                    world.at_event(id, |event, _| event.cancel(ticket));
                });
                turn.come().await
            }
            Some(Wait::Passed) => {
                self.0.host.drain();
                Ok(())
            }
            Some(Wait::Refused(refusal)) => {
                self.0.host.drain();
                Err(refusal)
            }
            None => Err(Refusal::Closed),
        }
    }
}

impl<R: Runtime> Clone for Event<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime> fmt::Debug for Event<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiting", &self.waiting())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::virtual_runtime::VirtualRuntime;
    use futures::FutureExt;
    use std::cell::RefCell;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn event() -> (VirtualRuntime, Event<VirtualRuntime>) {
        let runtime = VirtualRuntime::new();
        let event = Event::new(&Host::new(runtime.clone())).unwrap();
        (runtime, event)
    }

    #[test]
    fn setting_wakes_all_in_order_and_clearing_makes_the_next_wait() {
        let (runtime, event) = event();
        let order = Rc::new(RefCell::new(Vec::new()));
        for n in 0..3 {
            let (event, order) = (event.clone(), Rc::clone(&order));
            runtime.spawn(async move {
                event.wait().await.unwrap();
                order.borrow_mut().push(n);
            });
        }
        runtime.settle();
        assert_eq!(event.waiting(), 3);
        event.set();
        event.clear();
        runtime.settle();
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert!(event.wait().now_or_never().is_none());
        assert_eq!(event.waiting(), 0, "polled once and dropped");
    }

    #[test]
    fn waits_until_t_and_no_longer() {
        let (runtime, event) = event();
        let waited = runtime.block_on(event.wait_within(Duration::from_secs(5)));
        assert_eq!(waited, Err(AcquireError::QueueTimeout));
        assert_eq!(runtime.now().as_micros(), 5_000_000);
        event.set();
        assert_eq!(runtime.block_on(event.wait_within(Duration::ZERO)), Ok(()));
    }

    #[test]
    fn closing_turns_away_who_waits_and_whoever_finds_it_not_set() {
        let (runtime, event) = event();
        let mut waits = Box::pin(event.wait());
        assert!(waits.as_mut().now_or_never().is_none());
        event.close();
        assert_eq!(waits.now_or_never(), Some(Err(AcquireError::Closed)));
        assert_eq!(runtime.block_on(event.wait()), Err(AcquireError::Closed));
        event.set();
        assert_eq!(runtime.block_on(event.wait()), Ok(()));
        event.clear();
        let late = runtime.block_on(event.wait_within(Duration::from_secs(1)));
        assert_eq!(late, Err(AcquireError::Closed));
        assert_eq!(event.waiting(), 0);
    }

    #[test]
    fn a_waiter_dropped_after_its_wake_leaves_nothing_behind() {
        let (_, event) = event();
        let mut wait = Box::pin(event.wait());
        assert!(wait.as_mut().now_or_never().is_none());
        event.set();
        drop(wait);
        assert_eq!(event.waiting(), 0);
    }
}
