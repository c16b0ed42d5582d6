//! A cache: values with a time to live, loaded once for all who ask, that fall with what they were computed from.

mod flight;
mod shelf;

use super::host::Host;
use super::interned::hash_of;
use super::ledger::{Ledger, Stage};
use super::runtime::Runtime;
use super::seated::Seated;
use crate::machine::cache::{CacheConfig, CacheStats, Key, Load, Lookup, Store, Stored};
use crate::machine::config::ConfigError;
use crate::machine::wakes::{MachineId, Wakes};
use flight::{Flight, Landing, Waiting};
use shelf::Shelf;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

/// Values by key.
///
/// A value is fresh for its time to live (an hour unless set) and gone when it is over, read or not. A bound by count or by weight is kept by an
/// eviction that beats LRU's hit ratio. A value may name what it was computed from, other keys or mere tags, and is dropped when one of them is
/// invalidated. [`load`](Self::load) calls the loader once, however many ask for the key meanwhile.
///
/// Clones are handles of the same cache.
///
/// # Examples
///
/// ```
/// use tidegate::{Cache, CacheConfig, Host, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let cache = Cache::new(&Host::new(runtime.clone()), CacheConfig::default())?;
/// let length = |text: &'static str| cache.load(text, async move || Ok::<_, String>(text.len()));
/// assert_eq!(runtime.block_on(length("four")).ok(), Some(4));
/// assert_eq!(cache.get(&"four"), Some(4));
/// assert!(cache.invalidate(&"four") == 1 && cache.get(&"four").is_none());
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct Cache<R: Runtime, K, V>(Rc<Shared<R, K, V>>);

struct Shared<R: Runtime, K, V> {
    host: Host<R>,
    id: MachineId,
    ledger: Rc<Ledger<R::Parker>>,
    shelf: RefCell<Shelf<K, V>>,
    weigh: Option<Weigh<K, V>>,
}

type Weigh<K, V> = Box<dyn Fn(&K, &V) -> u32>;

/// How a value is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryOptions<K> {
    /// How long it is fresh; as the cache is configured unless set.
    pub ttl: Option<Duration>,
    /// What it was computed from: other keys, or tags that name no value.
    pub depends_on: Vec<K>,
}

impl<K> Default for EntryOptions<K> {
    fn default() -> Self {
        Self {
            ttl: None,
            depends_on: Vec::new(),
        }
    }
}

/// Why a value could not be loaded. All who waited for the same load share it.
#[derive(Clone)]
pub struct LoadError(Rc<dyn Error>);

impl LoadError {
    /// What the loader said, if it said an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl<R: Runtime, K: Hash + Eq + Clone + 'static, V: Clone + 'static> Cache<R, K, V> {
    /// An empty cache in which every value weighs 1, so that a bound is one by count.
    ///
    /// # Errors
    ///
    /// When the host holds more caches than there are numbers for.
    pub fn new(host: &Host<R>, config: CacheConfig) -> Result<Self, ConfigError> {
        Self::open(host, config, None)
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.0.host.register(self.0.id, "cache", Some(name.into()));
        self
    }

    /// An empty cache whose bound is one by weight, as `weigh` tells it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn weighing(
        host: &Host<R>,
        config: CacheConfig,
        weigh: impl Fn(&K, &V) -> u32 + 'static,
    ) -> Result<Self, ConfigError> {
        Self::open(host, config, Some(Box::new(weigh)))
    }

    fn open(host: &Host<R>, config: CacheConfig, weigh: Option<Weigh<K, V>>) -> Result<Self, ConfigError> {
        host.seed();
        let full = || ConfigError::integer("caches", "at most 2^24 in one host", 1 << 24);
        let id = host.call(|world, _| world.open_cache(config)).ok_or_else(full)?;
        host.enrol(id, "cache");
        let shared = Rc::new(Shared {
            host: host.clone(),
            id,
            ledger: host.open_ledger(id),
            shelf: RefCell::default(),
            weigh,
        });
        let swept = Rc::downgrade(&shared);
        host.sweep_with(id, move || {
            if let Some(shared) = swept.upgrade() {
                shared.sweep();
            }
        });
        Ok(Self(shared))
    }

    /// The value of a key, if it may still be served. Counts as a use.
    pub fn get(&self, key: &K) -> Option<V> {
        let found = self.0.id(key);
        let found = self.0.call(|cache, now, _| match found {
            Some(id) => cache.get(now, key_of(id, key)),
            None => {
                cache.missed(now, hash_of(key));
                Lookup::Missing
            }
        });
        self.0.value(key, found?)
    }

    /// The value of a key, without counting as a use.
    pub fn peek(&self, key: &K) -> Option<V> {
        let id = self.0.id(key)?;
        let found = self.0.call(|cache, now, _| cache.peek(now, id))?;
        self.0.value(key, found)
    }

    /// Keeps a value.
    pub fn set(&self, key: K, value: V) {
        self.set_with(key, value, EntryOptions::default());
    }

    /// Keeps a value as the options say. Values computed from the one it replaces stay: [`invalidate`](Self::invalidate) first if they must not. One heavier than the
    /// whole cache is not kept.
    pub fn set_with(&self, key: K, value: V, options: EntryOptions<K>) {
        let weight = self.0.weight(&key, &value);
        let id = self.0.intern(&key);
        let depends_on = self.0.intern_all(&options.depends_on);
        let store = Store {
            weight,
            ttl: options.ttl,
            depends_on: &depends_on,
        };
        let stored = self
            .0
            .call_quietly(|cache, now, _| cache.set(now, key_of(id, &key), store));
        let before = match stored {
            Some(Stored::Kept) => self.0.shelf.borrow_mut().put(id, Ok(value)),
            _ => None,
        };
        drop(before);
        self.0.settle();
    }

    /// The value of a key, loaded if it is not there. However many ask meanwhile, the loader of one of them is called, and all
    /// get what it brings; if the one who loads gives up, the next one's is called. A value that is past its time but may still be served is
    /// served, and loaded anew in the background.
    ///
    /// # Errors
    ///
    /// What the loader says, to all who waited for it, and for the configured time to all who come later.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up: the load passes to the next one who waits, if anybody does.
    pub async fn load<F, Fut, E>(&self, key: K, loader: F) -> Result<V, LoadError>
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<V, E>> + 'static,
        E: Into<Box<dyn Error>>,
    {
        self.load_with(key, EntryOptions::default(), loader).await
    }

    /// Loads like [`load`](Self::load) and keeps the value as the options say. When something that it depends on is invalidated while it is loaded,
    /// those who wait get it, but it is not kept.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Cancel safety
    ///
    /// As [`load`](Self::load).
    pub async fn load_with<F, Fut, E>(
        &self,
        key: K,
        options: EntryOptions<K>,
        loader: F,
    ) -> Result<V, LoadError>
    where
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<V, E>> + 'static,
        E: Into<Box<dyn Error>>,
    {
        let id = self.0.intern(&key);
        let load = self
            .0
            .call_quietly(|cache, now, _| cache.load(now, key_of(id, &key)));
        let waiting = match load {
            Some(Load::Run(ticket)) => {
                let landing = self.0.shelf.borrow_mut().begin(id);
                let flight = Flight::new(&self.0, ticket, id, landing);
                self.0.settle();
                return flight.run(key, options, loader).await;
            }
            Some(Load::Wait(ticket)) => {
                let landing = self.0.shelf.borrow_mut().join(id);
                let seated = Seated::take(
                    &self.0.host,
                    &self.0.ledger,
                    ticket,
                    self.0.host.number(),
                    None,
                    Stage::Queued,
                );
                Waiting::new(&self.0, seated, landing)
            }
            Some(Load::Stale(Some(ticket))) => {
                let landing = self.0.shelf.borrow_mut().begin(id);
                let flight = Flight::new(&self.0, ticket, id, landing);
                let stale = self.0.shelf.borrow().result(id);
                self.0.settle();
                let runtime = self.0.host.runtime();
                runtime.spawn(async move {
                    // Whoever asks later sees the failure by loading; here nobody waits for it.
                    let _ = flight.run(key, options, loader).await;
                });
                return stale.unwrap_or_else(|| Err(LoadError::lost()));
            }
            Some(Load::Fresh | Load::Negative | Load::Stale(None)) => {
                let result = self.0.shelf.borrow().result(id);
                self.0.settle();
                return result.unwrap_or_else(|| Err(LoadError::lost()));
            }
            Some(Load::Refused(_)) | None => {
                self.0.settle();
                return Err(LoadError::lost());
            }
        };
        match waiting.end().await {
            Ok(result) => result,
            Err(ticket) => {
                let landing = waiting.take_over();
                drop(waiting);
                let flight = Flight::new(&self.0, ticket, id, landing);
                flight.run(key, options, loader).await
            }
        }
    }

    /// Drops a value and everything computed from it, directly or through others; loads of them that are under way are not kept. Says how many values
    /// it was.
    pub fn invalidate(&self, key: &K) -> u32 {
        let id = self.0.intern(key);
        self.0.call(|cache, _, _| cache.invalidate(id)).unwrap_or(0)
    }

    /// Drops everything computed from a key or tag, but not the key's own value. Says how many values it was.
    pub fn invalidate_by(&self, dependency: &K) -> u32 {
        let id = self.0.intern(dependency);
        self.0.call(|cache, _, _| cache.invalidate_by(id)).unwrap_or(0)
    }

    /// Drops one value and nothing that was computed from it. Whether there was one.
    pub fn delete(&self, key: &K) -> bool {
        let id = self.0.id(key);
        let deleted = id.and_then(|id| self.0.call(|cache, _, _| cache.delete(id)));
        deleted.unwrap_or(false)
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.0.call(|cache, _, _| cache.clear());
    }

    /// How many values and remembered failures there are.
    pub fn len(&self) -> usize {
        self.0.call(|cache, _, _| cache.len()).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their weight together.
    pub fn weight(&self) -> u64 {
        self.0.call(|cache, _, _| cache.weight()).unwrap_or(0)
    }

    /// What it has counted.
    pub fn stats(&self) -> CacheStats {
        self.0.call(|cache, _, _| cache.stats()).unwrap_or_default()
    }
}

fn key_of(id: u32, key: &impl Hash) -> Key {
    Key {
        id,
        hash: hash_of(key),
    }
}

type Machine = crate::machine::cache::Cache;
type Now = crate::machine::time::Instant;

impl<R: Runtime, K, V> Shared<R, K, V> {
    // Leaves wakes and what is to be dropped where they are, until `settle`.
    fn call_quietly<T>(&self, event: impl FnOnce(&mut Machine, Now, &mut Wakes) -> T) -> Option<T> {
        self.host
            .call_quietly(|world, now| world.at_cache(self.id, |cache, wakes| event(cache, now, wakes)))
    }
}

impl<R: Runtime, K: Hash + Eq + Clone, V: Clone> Shared<R, K, V> {
    fn call<T>(&self, event: impl FnOnce(&mut Machine, Now, &mut Wakes) -> T) -> Option<T> {
        let outcome = self.call_quietly(event);
        self.settle();
        outcome
    }

    fn settle(&self) {
        self.sweep();
        self.host.drain();
    }

    // Drops what the machine says is gone; outside every borrow, for dropping a value may run code that comes back in here.
    fn sweep(&self) {
        while let Some(Some((id, gone))) = self.call_quietly(|cache, _, _| cache.pop_gone()) {
            let dropped = self.shelf.borrow_mut().drop_what_is_gone(id, gone);
            drop(dropped);
        }
    }

    fn id(&self, key: &K) -> Option<u32> {
        self.shelf.borrow().names.find(key)
    }

    fn intern(&self, key: &K) -> u32 {
        self.shelf.borrow_mut().names.id(key)
    }

    fn intern_all(&self, names: &[K]) -> Vec<u32> {
        names.iter().map(|name| self.intern(name)).collect()
    }

    fn value(&self, key: &K, found: Lookup) -> Option<V> {
        match found {
            Lookup::Fresh | Lookup::Stale => {
                let shelf = self.shelf.borrow();
                shelf.result(shelf.names.find(key)?)?.ok()
            }
            Lookup::Negative | Lookup::Missing => None,
        }
    }

    fn weight(&self, key: &K, value: &V) -> u32 {
        self.weigh.as_ref().map_or(1, |weigh| weigh(key, value))
    }
}

impl<R: Runtime, K, V> Drop for Shared<R, K, V> {
    fn drop(&mut self) {
        self.host.unregister(self.id);
        self.host.close_ledger(self.id);
        self.host.call(|world, _| world.drop_cache(self.id));
    }
}

impl LoadError {
    fn new(error: impl Into<Box<dyn Error>>) -> Self {
        Self(error.into().into())
    }

    fn lost() -> Self {
        Self::new("the load was lost")
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoadError").field(&self.0).finish()
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl<R: Runtime, K, V> Clone for Cache<R, K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Runtime, K, V> fmt::Debug for Cache<R, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use std::num::NonZeroU64;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_of_what_is_gone_are_forgotten() {
        let config = CacheConfig {
            max: NonZeroU64::new(2),
            ..CacheConfig::default()
        };
        let runtime = VirtualRuntime::new();
        let cache = Cache::new(&Host::new(runtime.clone()), config).unwrap();
        let tagged = || EntryOptions {
            depends_on: vec![1000],
            ..EntryOptions::default()
        };
        for n in 0..100 {
            cache.set_with(n, n, tagged());
            cache.get(&(n + 500));
        }
        let fails = async || Err::<i32, _>("no");
        assert!(runtime.block_on(cache.load_with(7, tagged(), fails)).is_err());
        assert_eq!(cache.0.shelf.borrow().names.names().count(), 3);
        assert_eq!(cache.invalidate_by(&1000), 2);
        assert_eq!(cache.0.shelf.borrow().names.names().count(), 0);
        assert!(cache.0.shelf.borrow().landings.is_empty());
    }
}
