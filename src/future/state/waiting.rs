//! Those who wait at a state: for their turn to update, or for a value that is as they want it.

use super::{Shared, VersionedState};
use crate::future::acquire_error::AcquireError;
use crate::future::host::Host;
use crate::future::ledger::Stage;
use crate::future::owner::Owner;
use crate::future::runtime::Runtime;
use crate::future::seated::Seated;
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wait_for::{Need, Owner as Name, Resource, Waiter};
use crate::machine::wakes::{MachineId, Refusal};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// What a caller says about a wait for a value. By default it waits for as long as it takes, and names nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WaitOptions {
    timeout: Option<Duration>,
    owner: Option<Owner>,
    writers: Vec<Owner>,
}

impl WaitOptions {
    /// As long as it takes, and nobody named.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Names who waits: an [`Owner`] or the context of a task. Together with its [`writers`](Self::writers) the wait stands in the
    /// wait-for graph, with the locks and pools of the host.
    pub fn owner(mut self, owner: impl Into<Owner>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Names those of whom one will write what is waited for. When all of them wait in turn for what the owner holds or does, the
    /// youngest of these waits ends with [`AcquireError::Deadlock`]. Nothing is guessed about writers that are not named: whoever leaves
    /// one out says that it will not write it.
    pub fn writers<O: Into<Owner>>(mut self, writers: impl IntoIterator<Item = O>) -> Self {
        self.writers.extend(writers.into_iter().map(Into::into));
        self
    }
}

impl<R: Runtime, V: Clone + 'static> VersionedState<R, V> {
    /// Waits until the value of a name is as `wanted`, and gives it; at once if it is already. Without a `timeout` it waits for as long as it takes.
    ///
    /// Values that were overwritten before this could look at them are not seen.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`] when its time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and its timer.
    pub async fn wait_for(
        &self,
        key: &str,
        wanted: impl Fn(&V) -> bool,
        timeout: Option<Duration>,
    ) -> Result<V, AcquireError> {
        let options = WaitOptions {
            timeout,
            ..WaitOptions::default()
        };
        self.wait_for_with(key, wanted, options).await
    }

    /// Waits like [`wait_for`](Self::wait_for), and may say who waits and who will write.
    ///
    /// # Errors
    ///
    /// [`AcquireError::QueueTimeout`] when its time is over, [`AcquireError::Deadlock`] when those who could write it wait for its owner in
    /// turn; [`Host::take_deadlock`] has the chain.
    ///
    /// # Cancel safety
    ///
    /// As [`wait_for`](Self::wait_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate::{AcquireError, Host, LockOptions, LockSet, Owner, VersionedState, VirtualRuntime, WaitOptions};
    ///
    /// let runtime = VirtualRuntime::new();
    /// let host = Host::new(runtime.clone());
    /// let (state, locks) = (VersionedState::new(&host)?, LockSet::new(&host)?);
    /// let (reader, writer) = (Owner::new(&host), Owner::new(&host));
    /// let held = locks.try_acquire(["log"], LockOptions::new().owner(reader));
    /// let write = async {
    ///     let _log = locks.acquire(["log"], LockOptions::new().owner(writer)).await;
    ///     state.set("ready", true);
    /// };
    /// let read = async {
    ///     // The writer waits for the lock that the reader holds, so this would never end.
    ///     let told = WaitOptions::new().owner(reader).writers([writer]);
    ///     let read = state.wait_for_with("ready", |ready| *ready, told).await;
    ///     drop(held);
    ///     read
    /// };
    /// let ((), read) = runtime.block_on(async { futures::join!(write, read) });
    /// assert_eq!(read, Err(AcquireError::Deadlock));
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    pub async fn wait_for_with(
        &self,
        key: &str,
        wanted: impl Fn(&V) -> bool,
        options: WaitOptions,
    ) -> Result<V, AcquireError> {
        let shared = &self.0;
        let id = shared.intern(key);
        if let Some(found) = shared.wanted(id, &wanted) {
            return Ok(found);
        }
        let until = options.timeout.map_or(Instant::FAR_FUTURE, |timeout| {
            shared.host.runtime().now() + timeout
        });
        let ticket = match shared.call_quietly(|state, _| state.wait(id, until)) {
            Some(Ok(ticket)) => ticket,
            Some(Err(refusal)) => return Err(shared.refused(refusal)),
            None => return Err(AcquireError::Closed),
        };
        let turn = Turn::take(shared, ticket, id, Stage::Queued);
        let waiter = Waiter {
            machine: shared.id,
            ticket,
        };
        let told = Told::tell(shared, key, waiter, options);
        let _told = told.map_err(|refusal| shared.refused(refusal))?;
        loop {
            if let Stage::Refused(refusal) = turn.come().await {
                if refusal == Refusal::Deadlock {
                    shared.host.note_deadlock(Some(waiter));
                }
                return Err(shared.refused(refusal));
            }
            if let Some(found) = shared.wanted(id, &wanted) {
                return Ok(found);
            }
            turn.seated.seat.wait_on();
        }
    }
}

/// What is waited for in waits that are told: a number for each, and the name by which a chain calls it.
#[derive(Default)]
pub(super) struct Signals {
    last: Cell<u32>,
    keys: RefCell<BTreeMap<u32, Rc<str>>>,
}

/// A wait as the wait-for graph knows it, until this is dropped.
struct Told<R: Runtime> {
    host: Host<R>,
    signals: Rc<Signals>,
    edge: Ticket,
    signal: Resource,
    writers: Vec<Owner>,
}

impl<R: Runtime> Told<R> {
    /// Tells of the wait if it names its owner and its writers. Refused if it would never end.
    fn tell<V: 'static>(
        shared: &Rc<Shared<R, V>>,
        key: &str,
        waiter: Waiter,
        options: WaitOptions,
    ) -> Result<Option<Self>, Refusal> {
        let WaitOptions { owner, writers, .. } = options;
        let Some(owner) = owner.filter(|_| !writers.is_empty()) else {
            return Ok(None);
        };
        let (host, signals) = (&shared.host, &shared.signals);
        let part = signals.last.get().wrapping_add(1);
        signals.last.set(part);
        signals.keys.borrow_mut().insert(part, key.into());
        label_signals(host, shared.id, signals);
        let signal = Resource {
            machine: shared.id,
            part,
        };
        let mut told = Self {
            host: host.clone(),
            signals: Rc::clone(signals),
            edge: Ticket::from_bits(u64::MAX),
            signal,
            writers,
        };
        let declared = host.call(|world, now| {
            for writer in &told.writers {
                world.declare_task(writer.as_parent());
                world.wait_for().hold(Name::Named(writer.id()), signal, 1);
            }
            world.declare_wait(now, owner.as_parent(), waiter, &[Need::Signal(signal)])
        });
        if declared.is_err() {
            // While the signal has its name.
            host.note_deadlock(None);
        }
        told.edge = declared?;
        Ok(Some(told))
    }
}

impl<R: Runtime> Drop for Told<R> {
    fn drop(&mut self) {
        self.host.call(|world, now| {
            let graph = world.wait_for();
            graph.wait_over(self.edge);
            for writer in &self.writers {
                graph.let_go(Name::Named(writer.id()), self.signal, 1);
            }
            world.break_deadlocks(now);
        });
        self.signals.keys.borrow_mut().remove(&self.signal.part);
    }
}

fn label_signals<R: Runtime>(host: &Host<R>, state: MachineId, signals: &Rc<Signals>) {
    let (name, signals) = (host.name_of(state), Rc::clone(signals));
    host.label(state, move |part| {
        let keys = signals.keys.borrow();
        format!(
            "{:?} of state {name:?}",
            keys.get(&part).map_or("a value", |key| key)
        )
    });
}

/// One who updates or waits. Dropped, it leaves.
pub(super) struct Turn<R: Runtime, V> {
    shared: Rc<Shared<R, V>>,
    pub(super) seated: Seated<R>,
    id: u32,
}

impl<R: Runtime, V> Turn<R, V> {
    pub(super) fn take(shared: &Rc<Shared<R, V>>, ticket: Ticket, id: u32, stage: Stage) -> Self {
        Self {
            shared: Rc::clone(shared),
            seated: Seated::take(
                &shared.host,
                &shared.ledger,
                ticket,
                shared.host.number(),
                None,
                stage,
            ),
            id,
        }
    }

    pub(super) async fn come(&self) -> Stage {
        poll_fn(|context| {
            self.seated.poll_stage(context, |stage| match stage {
                Stage::Queued | Stage::Outside => None,
                come => Some(come),
            })
        })
        .await
    }
}

impl<R: Runtime, V> Drop for Turn<R, V> {
    fn drop(&mut self) {
        let ticket = self.seated.ticket;
        let _over = self
            .shared
            .call_quietly(|state, wakes| state.leave(ticket, wakes));
        self.shared.host.drain();
        self.shared.forget_if_idle(self.id);
    }
}
