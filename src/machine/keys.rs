//! Keys: names as numbers. The host interns a name once and crosses with its id; what a machine knows about a name it
//! keeps by that id.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// What is known about each id.
pub type KeyMap<V> = HashMap<u32, V, BuildHasherDefault<KeyHasher>>;
/// A set of ids.
pub type KeySet = HashSet<u32, BuildHasherDefault<KeyHasher>>;

/// Spreads ids with one multiplication. Always the same, so that a run can be repeated; ids are given out by the host
/// and not by whoever names the keys, so nobody can aim for collisions.
#[derive(Clone, Copy, Default, Debug)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // The map takes its bucket from the low bits and its tag from the high ones: both must vary.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ids_in_a_row_and_ids_far_apart_are_all_told_apart() {
        let ids: Vec<u32> = (0..1000).chain((0..1000).map(|n| n << 20)).collect();
        let map: KeyMap<usize> = ids.iter().copied().enumerate().map(|(n, id)| (id, n)).collect();
        assert_eq!(map.len(), 1999);
        assert_eq!(map[&999], 999);
    }

    fn hash(write: impl Fn(&mut KeyHasher)) -> u64 {
        let mut hasher = KeyHasher::default();
        write(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn an_id_is_spread_over_all_bits_and_always_the_same_way() {
        const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15;
        for id in [0u32, 1, 2, 77, 1 << 20, u32::MAX] {
            let product = (u128::from(id) * SPREAD) as u64;
            assert_eq!(hash(|hasher| hasher.write_u32(id)), product ^ (product >> 32));
        }
        let first = SPREAD as u64;
        let second = (u128::from(first ^ 2) * SPREAD) as u64;
        assert_eq!(hash(|hasher| hasher.write(&[1, 2])), second ^ (second >> 32));
    }
}
