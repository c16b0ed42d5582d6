//! Versioned state: entries that nobody overwrites unseen, updates that lose no write, subscribers, waits.

use super::acquire_error::AcquireError;
use super::host::Host;
use super::interned::Interned;
use super::ledger::{Ledger, Stage};
use super::runtime::Runtime;
use crate::machine::config::ConfigError;
use crate::machine::state::{StateConfig, StateStats, Update, VersionConflict};
use crate::machine::wakes::{MachineId, Refusal, Wakes};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use telling::Listener;
use waiting::{Signals, Turn};

mod telling;
mod waiting;

pub use telling::StateChange;
pub use waiting::WaitOptions;

/// Entries by name, each with a version.
///
/// A write may say which version it has seen and is refused if there is another by now. [`update`](Self::update) reads, computes, also across awaits, and
/// writes, and does so again when somebody else wrote meanwhile: no write is lost. Subscribers hear of every change of a name, or of all names that
/// begin alike, in the order of the writes; [`wait_for`](Self::wait_for) waits until a value is as wanted.
///
/// Clones are handles of the same state.
///
/// # Examples
///
/// ```
/// use tidegate::{Host, VersionedState, VirtualRuntime, gather};
///
/// let runtime = VirtualRuntime::new();
/// let state = VersionedState::new(&Host::new(runtime.clone()))?;
/// let add_one = async |seen: Option<u32>| seen.unwrap_or(0) + 1;
/// runtime.block_on(gather((0..10).map(|_| state.update("count", add_one))));
/// assert_eq!(state.get("count").map(|entry| entry.value), Some(10));
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct VersionedState<R: Runtime, V>(Rc<Shared<R, V>>);

/// A value and its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versioned<V> {
    /// The value.
    pub value: V,
    /// Its version: only ever higher, over all names, and never the same for two writes.
    pub version: u64,
}

struct Shared<R: Runtime, V> {
    host: Host<R>,
    id: MachineId,
    ledger: Rc<Ledger<R::Parker>>,
    entries: RefCell<Entries<V>>,
    telling: Cell<bool>,
    // Waits that are told to the wait-for graph.
    signals: Rc<Signals>,
}

struct Entries<V> {
    names: Interned<Name>,
    values: HashMap<u32, V>,
    listeners: BTreeMap<u64, Listener<V>>,
}

// A prefix and a name that are spelt alike are two things.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Key(Rc<str>),
    Prefix(Rc<str>),
}

impl<R: Runtime, V: Clone + 'static> VersionedState<R, V> {
    /// A state without entries.
    ///
    /// # Errors
    ///
    /// When the host holds more states than there are numbers for.
    pub fn new(host: &Host<R>) -> Result<Self, ConfigError> {
        Self::with(host, StateConfig::default())
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.host.register(self.0.id, "state", Some(name.into()));
        self
    }

    /// A state without entries that behaves as `config` says.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with(host: &Host<R>, config: StateConfig) -> Result<Self, ConfigError> {
        let full = || ConfigError::integer("states", "at most 2^24 in one host", 1 << 24);
        let id = host.call(|world, _| world.open_state(config)).ok_or_else(full)?;
        host.enrol(id, "state");
        Ok(Self(Rc::new(Shared {
            host: host.clone(),
            id,
            ledger: host.open_ledger(id),
            entries: RefCell::new(Entries {
                names: Interned::default(),
                values: HashMap::new(),
                listeners: BTreeMap::new(),
            }),
            telling: Cell::new(false),
            signals: Rc::default(),
        })))
    }

    /// The value of a name, with its version.
    pub fn get(&self, key: &str) -> Option<Versioned<V>> {
        self.0.get(self.0.find(key)?)
    }

    /// Writes a value, whatever the version is, and gives the new one.
    pub fn set(&self, key: &str, value: V) -> u64 {
        let id = self.0.intern(key);
        self.0.write(id, value, |state, wakes| Some(state.set(id, wakes)))
    }

    /// Writes a value if the version is still the one that was seen (0: there was no value), and gives the new one.
    ///
    /// # Errors
    ///
    /// The version that it is. Nothing was written then.
    pub fn compare_and_set(&self, key: &str, version: u64, value: V) -> Result<u64, VersionConflict> {
        let id = self.0.intern(key);
        let mut conflict = VersionConflict { current: 0 };
        let written = self.0.write(id, value, |state, wakes| {
            state
                .compare_and_set(id, version, wakes)
                .map_err(|found| conflict = found)
                .ok()
        });
        self.0.forget_if_idle(id);
        if written == 0 { Err(conflict) } else { Ok(written) }
    }

    /// Deletes a value. Whether there was one.
    pub fn delete(&self, key: &str) -> bool {
        let Some(id) = self.0.find(key) else {
            return false;
        };
        let value = self.0.entries.borrow_mut().values.remove(&id);
        let deleted = self.0.call_quietly(|state, wakes| state.delete(id, wakes));
        drop(value);
        self.0.settle();
        self.0.forget_if_idle(id);
        deleted == Some(true)
    }

    /// Computes a new value from the one there is and writes it. When somebody else wrote meanwhile, `compute` is called again with what they wrote:
    /// one of those who compete succeeds each time, and those who lost try again one after the other, oldest first. Gives the value written.
    ///
    /// `compute` must not update the same name itself: it would never find it unchanged.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Conflict`] after as many attempts as configured, 100 unless set.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the value as it was, and lets the next one try.
    pub async fn update<F, Fut>(&self, key: &str, mut compute: F) -> Result<V, AcquireError>
    where
        F: FnMut(Option<V>) -> Fut,
        Fut: Future<Output = V>,
    {
        let id = self.0.intern(key);
        let begun = self.0.call_quietly(|state, _| state.begin_update(id));
        let ticket = match begun {
            Some(Ok(ticket)) => ticket,
            Some(Err(refusal)) => return Err(self.0.refused(refusal)),
            None => return Err(AcquireError::Closed),
        };
        let turn = Turn::take(&self.0, ticket, id, Stage::Holding);
        loop {
            let seen = self.0.get(id).map(|entry| entry.value);
            let value = compute(seen).await;
            let mut step = Update::Refused(Refusal::Closed);
            self.0.write(id, value.clone(), |state, wakes| {
                step = state.commit(ticket, wakes).ok()?;
                match step {
                    Update::Written(version) => Some(version),
                    _ => None,
                }
            });
            match step {
                Update::Written(_) => return Ok(value),
                Update::Again => {}
                Update::Wait => {
                    turn.seated.seat.wait_on();
                    turn.come().await;
                }
                Update::Refused(refusal) => return Err(self.0.refused(refusal)),
            }
        }
    }

    /// All entries as they are now, by name.
    pub fn snapshot(&self) -> BTreeMap<Rc<str>, Versioned<V>> {
        let ids: Vec<(Rc<str>, u32)> = {
            let entries = self.0.entries.borrow();
            let names = entries.names.names().filter_map(|(name, id)| match name {
                Name::Key(key) => Some((Rc::clone(key), id)),
                Name::Prefix(_) => None,
            });
            names.collect()
        };
        ids.into_iter()
            .filter_map(|(key, id)| Some((key, self.0.get(id)?)))
            .collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.entries.borrow().values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it has counted.
    pub fn stats(&self) -> StateStats {
        self.0.call_quietly(|state, _| state.stats()).unwrap_or_default()
    }
}

type Machine = crate::machine::state::State;

impl<R: Runtime, V> Shared<R, V> {
    fn call_quietly<T>(&self, event: impl FnOnce(&mut Machine, &mut Wakes) -> T) -> Option<T> {
        self.host
            .call_quietly(|world, _| world.at_state(self.id, |state, wakes| event(state, wakes)))
    }

    fn refused(&self, refusal: Refusal) -> AcquireError {
        AcquireError::new(refusal, self.host.runtime().now())
    }

    fn find(&self, key: &str) -> Option<u32> {
        self.entries.borrow().names.find(&Name::Key(key.into()))
    }

    // The id of a name. Only here can names be compared, so this is where a new one is told which prefixes it has.
    fn intern(&self, key: &str) -> u32 {
        let (id, prefixes) = {
            let names = &mut self.entries.borrow_mut().names;
            let name = Name::Key(key.into());
            if let Some(id) = names.find(&name) {
                return id;
            }
            let prefixes = names.names().filter_map(|(other, id)| match other {
                Name::Prefix(prefix) if key.starts_with(&**prefix) => Some(id),
                _ => None,
            });
            let prefixes: Vec<u32> = prefixes.collect();
            (names.id(&name), prefixes)
        };
        for prefix in prefixes {
            self.call_quietly(|state, _| state.join(id, prefix));
        }
        id
    }

    fn forget_if_idle(&self, id: u32) {
        if self.call_quietly(|state, _| state.knows(id)) == Some(false) {
            self.call_quietly(|state, _| state.forget(id));
            self.entries.borrow_mut().names.forget(id);
        }
    }
}

impl<R: Runtime, V: Clone + 'static> Shared<R, V> {
    fn get(&self, id: u32) -> Option<Versioned<V>> {
        let version = self.call_quietly(|state, _| state.version(id))?;
        let value = self.entries.borrow().values.get(&id).cloned()?;
        Some(Versioned { value, version })
    }

    // Puts a value down if the machine says that it is written, and gives its version or 0.
    fn write(&self, id: u32, value: V, event: impl FnOnce(&mut Machine, &mut Wakes) -> Option<u64>) -> u64 {
        let version = self.call_quietly(event).flatten();
        let before = match version {
            Some(_) => self.entries.borrow_mut().values.insert(id, value),
            None => Some(value),
        };
        drop(before);
        self.settle();
        version.unwrap_or(0)
    }

    fn wanted(&self, id: u32, wanted: &impl Fn(&V) -> bool) -> Option<V> {
        let value = self.get(id)?.value;
        wanted(&value).then_some(value)
    }
}

impl<R: Runtime, V> Drop for Shared<R, V> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.close_ledger(self.id);
        self.host.call(|world, _| world.drop_state(self.id));
    }
}

impl<R: Runtime, V> Clone for VersionedState<R, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, V> fmt::Debug for VersionedState<R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionedState")
            .field("entries", &self.0.entries.borrow().values.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
