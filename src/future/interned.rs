//! Names as the numbers by which machines know them.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// Names with ids; a forgotten id is given to the next new name.
pub(crate) struct Interned<K> {
    ids: HashMap<K, u32>,
    names: Vec<Option<K>>,
    free: Vec<u32>,
}

impl<K> Default for Interned<K> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            names: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<K: Hash + Eq + Clone> Interned<K> {
    /// The id of a name, a new one if it has none.
    pub(crate) fn id(&mut self, name: &K) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            (self.names.len() - 1) as u32
        });
        self.names[id as usize] = Some(name.clone());
        self.ids.insert(name.clone(), id);
        id
    }

    /// The id of a name that has one.
    pub(crate) fn find<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
    {
        self.ids.get(name).copied()
    }

    /// The name of an id.
    pub(crate) fn name(&self, id: u32) -> Option<&K> {
        self.names.get(id as usize)?.as_ref()
    }

    /// Takes the name off an id. The name is returned to be dropped where nothing is borrowed.
    pub(crate) fn forget(&mut self, id: u32) -> Option<(K, K)> {
        let name = self.names.get_mut(id as usize)?.take()?;
        self.free.push(id);
        self.ids.remove_entry(&name).map(|(key, _)| (key, name))
    }

    /// All names that have ids.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&K, u32)> {
        self.ids.iter().map(|(name, id)| (name, *id))
    }
}

/// Names that lead round to the first of them.
pub(crate) struct Circle<'a>(pub(crate) &'a [Rc<str>]);

impl fmt::Display for Circle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, "`{name}` → "))?;
        write!(f, "`{}`", self.0.first().map_or("", |first| first))
    }
}

/// 32 bits of a name that are the same in every run.
pub(crate) fn hash_of(name: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let bits = hasher.finish();
    (bits ^ (bits >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_forgotten_id_goes_to_the_next_new_name() {
        let mut interned = Interned::default();
        assert_eq!(
            [interned.id(&"a"), interned.id(&"b"), interned.id(&"a")],
            [0, 1, 0]
        );
        interned.forget(0);
        interned.forget(0);
        assert_eq!((interned.find(&"a"), interned.name(0)), (None, None));
        assert_eq!([interned.id(&"c"), interned.id(&"a")], [0, 2]);
        assert_eq!(hash_of(&"a"), hash_of(&"a"));
    }
}
