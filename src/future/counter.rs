//! Counters by key.

use super::host::Host;
use super::interned::Interned;
use super::readings::Reading;
use super::runtime::Runtime;
use super::turn::Room;
use crate::machine::config::ConfigError;
use crate::machine::counters::Counters;
use crate::machine::world::World;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Whole numbers by key: additions that cannot be lost, because nothing happens between reading and writing.
///
/// A number stops at ±(2^53 − 1), the last whole numbers that JavaScript can tell apart. Clones are handles of the same
/// counter.
///
/// # Examples
///
/// ```
/// use tidegate::{Counter, Host, VirtualRuntime};
///
/// let hits = Counter::new(&Host::new(VirtualRuntime::new()))?;
/// assert_eq!(hits.increment("/", 1), 1);
/// assert_eq!(hits.increment("/", 2), 3);
/// assert_eq!(hits.value("/about"), 0);
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct Counter<R: Runtime> {
    room: Rc<Room<R>>,
    counted: Rc<RefCell<Counted>>,
}

#[derive(Default)]
struct Counted {
    names: Interned<Rc<str>>,
    counters: Counters,
}

impl<R: Runtime> Counter<R> {
    /// A counter of which no key was counted.
    ///
    /// # Errors
    ///
    /// When the host knows more counters than there are numbers for.
    pub fn new(host: &Host<R>) -> Result<Self, ConfigError> {
        let room = Room::open(host, "counters", World::open_told, World::drop_told)?;
        let counted: Rc<RefCell<Counted>> = Rc::default();
        let counts = Rc::clone(&counted);
        host.count_with(room.id, move || {
            let keys = counts.borrow().counters.values().count();
            Some(("counter", vec![Reading::now("keys", keys)]))
        });
        Ok(Self { room, counted })
    }

    /// Gives it the name by which metrics know it.
    pub fn named(self, name: impl Into<Rc<str>>) -> Self {
        self.room.name(name.into());
        self
    }

    /// Adds to the number of a key and gives what it is then.
    pub fn increment(&self, key: &str, by: i64) -> i64 {
        let Counted { names, counters } = &mut *self.counted.borrow_mut();
        let id = names.find(key).unwrap_or_else(|| names.id(&key.into()));
        counters.increment(id, by)
    }

    /// The number of a key; 0 where nothing was counted.
    pub fn value(&self, key: &str) -> i64 {
        let Counted { names, counters } = &*self.counted.borrow();
        names.find(key).map_or(0, |id| counters.value(id))
    }

    /// Forgets a key and gives what its number was.
    pub fn reset(&self, key: &str) -> i64 {
        let Counted { names, counters } = &mut *self.counted.borrow_mut();
        let Some(id) = names.find(key) else { return 0 };
        names.forget(id);
        counters.reset(id)
    }

    /// Every key that was counted, with its number.
    pub fn values(&self) -> BTreeMap<Rc<str>, i64> {
        let Counted { names, counters } = &*self.counted.borrow();
        let named = |(id, value)| Some((Rc::clone(names.name(id)?), value));
        counters.values().filter_map(named).collect()
    }
}

impl<R: Runtime> Clone for Counter<R> {
    fn clone(&self) -> Self {
        Self {
            room: Rc::clone(&self.room),
            counted: Rc::clone(&self.counted),
        }
    }
}

impl<R: Runtime> fmt::Debug for Counter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::metrics::Metrics;
    use crate::future::virtual_runtime::VirtualRuntime;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn counter() -> (Host<VirtualRuntime>, Counter<VirtualRuntime>) {
        let host = Host::new(VirtualRuntime::new());
        let counter = Counter::new(&host).unwrap().named("hits");
        (host, counter)
    }

    #[test]
    fn counting_a_key_gives_its_new_number_and_leaves_the_others_alone() {
        let (_, hits) = counter();
        assert_eq!((hits.increment("/", 1), hits.clone().increment("/", 4)), (1, 5));
        assert_eq!(hits.increment("/about", -2), -2);
        assert_eq!(
            (hits.value("/"), hits.value("/about"), hits.value("/none")),
            (5, -2, 0)
        );
        assert_eq!(format!("{hits:?}"), r#"{"/": 5, "/about": -2}"#);
        assert_eq!(hits.increment("/", i64::MAX), (1 << 53) - 1);
    }

    #[test]
    fn a_key_that_was_reset_begins_at_nothing_and_its_place_is_nobody_elses() {
        let (_, hits) = counter();
        hits.increment("/", 5);
        assert_eq!((hits.reset("/"), hits.reset("/")), (5, 0));
        assert_eq!((hits.increment("/new", 1), hits.value("/")), (1, 0));
        assert_eq!(hits.values(), BTreeMap::from([(Rc::from("/new"), 1)]));
        assert_eq!(hits.counted.borrow().names.names().count(), 1);
    }

    #[test]
    fn metrics_know_how_many_keys_were_counted_until_the_last_handle_goes() {
        let (host, hits) = counter();
        hits.increment("/", 1);
        hits.increment("/about", 1);
        let metrics = Metrics::new(&host);
        let [readings] = &metrics.snapshot().others[..] else {
            panic!("one thing is counted")
        };
        assert_eq!((readings.kind, &*readings.name), ("counter", "hits"));
        assert_eq!(readings.value("keys", None), Some(2));
        drop(hits);
        assert!(metrics.snapshot().others.is_empty());
    }
}
