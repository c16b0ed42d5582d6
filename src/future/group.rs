//! Pools and breakers by key: what fails for one key takes no other down.

use super::breaker::CircuitBreaker;
use super::host::Host;
use super::pool::Pool;
use super::pool_options::PoolOptions;
use super::runtime::Runtime;
use crate::machine::breaker::{BreakerConfig, BreakerState};
use crate::machine::config::ConfigError;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

/// How many keys are remembered unless told otherwise.
const DEFAULT_MAX_KEYS: usize = 1000;

/// A pool for each key, made when the key is first asked for.
///
/// At most 1,000 keys are remembered (see [`max_keys`](Self::max_keys)); then the pool that is idle and was longest not asked for is forgotten. A pool that
/// is at work is never forgotten. Waits and runs of a key's pool are measured only where its options ask for
/// [`histograms`](PoolOptions::histograms).
///
/// # Examples
///
/// ```
/// use tidegate::{Host, PoolGroup, PoolOptions, VirtualRuntime};
///
/// let group = PoolGroup::new(&Host::new(VirtualRuntime::new()), PoolOptions::new(2))
///     .per_key(|key, options| if key == "slow.example" { PoolOptions::new(1) } else { options });
/// assert_eq!(group.get("slow.example")?.concurrency(), 1);
/// assert_eq!(group.get("fast.example")?.concurrency(), 2);
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct PoolGroup<R: Runtime> {
    host: Host<R>,
    options: PoolOptions,
    per_key: Option<PerKey<PoolOptions>>,
    pools: ByKey<Pool<R>>,
}

type PerKey<T> = Box<dyn Fn(&str, T) -> T>;

impl<R: Runtime> PoolGroup<R> {
    /// A group whose pools are made with `options`.
    pub fn new(host: &Host<R>, options: PoolOptions) -> Self {
        Self {
            host: host.clone(),
            options,
            per_key: None,
            pools: ByKey::new(),
        }
    }

    /// Lets `change` decide on the options of each key's pool.
    pub fn per_key(mut self, change: impl Fn(&str, PoolOptions) -> PoolOptions + 'static) -> Self {
        self.per_key = Some(Box::new(change));
        self
    }

    /// Remembers at most so many keys, those at work aside; 0 counts as 1.
    pub fn max_keys(mut self, most: usize) -> Self {
        self.pools.most = most.max(1);
        self
    }

    /// The pool of `key`.
    ///
    /// # Errors
    ///
    /// When it must be made and its options cannot be honoured.
    pub fn get(&self, key: &str) -> Result<Pool<R>, ConfigError> {
        let make = || {
            let options = self.options.clone().name(key);
            let mut options = match &self.per_key {
                Some(change) => change(key, options),
                None => options,
            };
            options.histograms.get_or_insert(false);
            Pool::new(&self.host, options)
        };
        self.pools.get(key, make, |pool| {
            pool.active() + pool.queued() + pool.waiting_for_room() == 0
        })
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A breaker for each key, made when the key is first asked for.
///
/// At most 1,000 keys are remembered (see [`max_keys`](Self::max_keys)); then the breaker that is closed and was longest not asked for is forgotten. One that turns calls
/// away is never forgotten.
///
/// # Examples
///
/// ```
/// use tidegate::{BreakerConfig, BreakerGroup, BreakerState, Host, VirtualRuntime};
///
/// let group = BreakerGroup::new(&Host::new(VirtualRuntime::new()), BreakerConfig::default());
/// let isolation = group.get("a.example")?.isolate();
/// assert_eq!(group.get("a.example")?.state(), BreakerState::Isolated);
/// assert_eq!(group.get("b.example")?.state(), BreakerState::Closed);
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct BreakerGroup<R: Runtime> {
    host: Host<R>,
    config: BreakerConfig,
    per_key: Option<PerKey<BreakerConfig>>,
    breakers: ByKey<CircuitBreaker<R>>,
}

impl<R: Runtime> BreakerGroup<R> {
    /// A group whose breakers are made with `config`.
    pub fn new(host: &Host<R>, config: BreakerConfig) -> Self {
        Self {
            host: host.clone(),
            config,
            per_key: None,
            breakers: ByKey::new(),
        }
    }

    /// Lets `change` decide on the options of each key's breaker.
    pub fn per_key(mut self, change: impl Fn(&str, BreakerConfig) -> BreakerConfig + 'static) -> Self {
        self.per_key = Some(Box::new(change));
        self
    }

    /// Remembers at most so many keys, those that turn calls away aside; 0 counts as 1.
    pub fn max_keys(mut self, most: usize) -> Self {
        self.breakers.most = most.max(1);
        self
    }

    /// The breaker of `key`.
    ///
    /// # Errors
    ///
    /// When it must be made and the host holds more machines than there are numbers for.
    pub fn get(&self, key: &str) -> Result<CircuitBreaker<R>, ConfigError> {
        let make = || {
            let config = match &self.per_key {
                Some(change) => change(key, self.config),
                None => self.config,
            };
            CircuitBreaker::new(&self.host, config)
        };
        self.breakers
            .get(key, make, |breaker| breaker.state() == BreakerState::Closed)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.breakers.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Handles by key, a bounded number of them.
struct ByKey<T> {
    entries: RefCell<BTreeMap<String, Entry<T>>>,
    asked: Cell<u64>,
    most: usize,
}

struct Entry<T> {
    value: T,
    last_asked: u64,
}

impl<T: Clone> ByKey<T> {
    fn new() -> Self {
        Self {
            entries: RefCell::default(),
            asked: Cell::new(0),
            most: DEFAULT_MAX_KEYS,
        }
    }

    fn get<E>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<T, E>,
        idle: impl Fn(&T) -> bool,
    ) -> Result<T, E> {
        let last_asked = self.asked.get() + 1;
        self.asked.set(last_asked);
        if let Some(entry) = self.entries.borrow_mut().get_mut(key) {
            entry.last_asked = last_asked;
            return Ok(entry.value.clone());
        }
        // With no borrow held: the caller's own code decides on the options.
        let value = make()?;
        let forgotten = self.forget_some(idle);
        let entry = Entry {
            value: value.clone(),
            last_asked,
        };
        self.entries.borrow_mut().insert(key.to_owned(), entry);
        drop(forgotten);
        Ok(value)
    }

    /// Makes room for one more: those that were asked for longest ago go, as many as are too many, unless they are at work.
    fn forget_some(&self, idle: impl Fn(&T) -> bool) -> Vec<Entry<T>> {
        let mut entries = self.entries.borrow_mut();
        let too_many = (entries.len() + 1).saturating_sub(self.most);
        if too_many == 0 {
            return Vec::new();
        }
        let mut by_age: Vec<_> = entries
            .iter()
            .map(|(key, entry)| (entry.last_asked, key))
            .collect();
        by_age.sort_unstable();
        let oldest = by_age.into_iter().map(|(_, key)| key);
        let going = oldest.filter(|key| idle(&entries[*key].value)).take(too_many);
        let going: Vec<_> = going.cloned().collect();
        going.iter().filter_map(|key| entries.remove(key)).collect()
    }

    fn len(&self) -> usize {
        self.entries.borrow().len()
    }
}

impl<R: Runtime> fmt::Debug for PoolGroup<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolGroup")
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> fmt::Debug for BreakerGroup<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerGroup")
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}
