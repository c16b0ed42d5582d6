//! What the host of a cache holds: names, values, remembered failures, and where loads under way will leave their results.

use super::{Landing, LoadError};
use crate::future::interned::Interned;
use crate::machine::cache::Gone;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

pub(super) struct Shelf<K, V> {
    pub(super) names: Interned<K>,
    contents: HashMap<u32, Result<V, LoadError>>,
    pub(super) landings: HashMap<u32, Landing<V>>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            names: Interned::default(),
            contents: HashMap::new(),
            landings: HashMap::new(),
        }
    }
}

/// What was dropped, to be dropped where nothing is borrowed.
pub(super) type Dropped<K, V> = (Option<Result<V, LoadError>>, Option<(K, K)>);

impl<K: Hash + Eq + Clone, V: Clone> Shelf<K, V> {
    pub(super) fn result(&self, id: u32) -> Option<Result<V, LoadError>> {
        self.contents.get(&id).cloned()
    }

    /// Gives what was there before.
    pub(super) fn put(&mut self, id: u32, content: Result<V, LoadError>) -> Option<Result<V, LoadError>> {
        self.contents.insert(id, content)
    }

    pub(super) fn drop_what_is_gone(&mut self, id: u32, gone: Gone) -> Dropped<K, V> {
        match gone {
            Gone::Forgotten => (None, self.names.forget(id)),
            Gone::Evicted | Gone::Expired | Gone::Invalidated => (self.contents.remove(&id), None),
        }
    }

    /// A place for the result of a load that begins; it takes the place of an older one that no longer counts.
    pub(super) fn begin(&mut self, id: u32) -> Landing<V> {
        let landing = Landing::default();
        self.landings.insert(id, Rc::clone(&landing));
        landing
    }

    pub(super) fn join(&mut self, id: u32) -> Landing<V> {
        Rc::clone(self.landings.entry(id).or_default())
    }

    /// A load is over: whoever waits for its result has a handle of its place.
    pub(super) fn end(&mut self, id: u32, landing: &Landing<V>) {
        if self
            .landings
            .get(&id)
            .is_some_and(|current| Rc::ptr_eq(current, landing))
        {
            self.landings.remove(&id);
        }
    }
}
