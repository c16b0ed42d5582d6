//! Hit ratios of the cache's eviction against exact LRU, on four traces made from a seed.
//!
//! `cargo run --release --example cache_hit_ratio [-- SEED [CAPACITY]]`; the last line says whether the bar is met: higher than LRU on three of
//! the four, never more than one percent lower.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use tidegate::machine::cache::{Cache, CacheConfig, Key, Lookup, Store};
use tidegate::machine::random::Random;
use tidegate::machine::time::Instant;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let seed = arguments.next().unwrap_or(1);
    let capacity = arguments.next().unwrap_or(1000).max(10);
    println!("seed {seed}, capacity {capacity}");
    println!("{:8}{:>8}{:>8}", "trace", "LRU", "ours");
    let (mut higher, mut much_lower) = (0, 0);
    for (name, trace) in traces(seed, capacity) {
        let lru = lru_hits(&trace, capacity as usize) as f64 / trace.len() as f64;
        let ours = our_hits(&trace, capacity) as f64 / trace.len() as f64;
        higher += u32::from(ours > lru);
        much_lower += u32::from(ours < lru * 0.99);
        println!("{name:8}{:8.2}{:8.2}", lru * 100.0, ours * 100.0);
    }
    let verdict = if higher >= 3 && much_lower == 0 {
        "met"
    } else {
        "missed"
    };
    println!("higher on {higher} of 4, more than 1 % lower on {much_lower}: bar {verdict}");
}

/// Requests by key: skewed popularity; the same with scans through it; a loop that is twice too long; and a mix of drifting
/// popularity, scans, loops and bursts of what was asked for just before.
fn traces(seed: u64, capacity: u64) -> [(&'static str, Vec<u64>); 4] {
    let length = 400 * capacity as usize;
    let mut random = Random::new(seed);
    let fresh = 1 << 40;

    let popularity = Zipf::new(50 * capacity, 0.9);
    let zipf = (0..length).map(|_| popularity.draw(&mut random)).collect();

    let popularity = Zipf::new(20 * capacity, 0.9);
    let mut scan = Vec::with_capacity(length);
    while scan.len() < length {
        scan.extend((0..3 * capacity).map(|_| popularity.draw(&mut random)));
        let from = fresh + scan.len() as u64;
        scan.extend(from..from + 2 * capacity);
    }

    let looped = (0..length as u64).map(|n| n % (2 * capacity)).collect();

    let mut mixed: Vec<u64> = Vec::with_capacity(length);
    let mut next = fresh;
    for phase in 0.. {
        match phase % 4 {
            0 => mixed.extend((0..6 * capacity).map(|_| phase * capacity + popularity.draw(&mut random))),
            1 => {
                mixed.extend(next..next + 2 * capacity);
                next += 2 * capacity;
            }
            2 => {
                mixed.extend((0..6 * capacity).map(|n| 2 * fresh + phase * capacity + n % (capacity * 3 / 2)))
            }
            _ => {
                for _ in 0..6 * capacity {
                    let back = 1 + random.up_to(capacity / 2 - 1) as usize;
                    match mixed.len().checked_sub(back).filter(|_| random.bits() & 1 == 0) {
                        Some(before) => mixed.push(mixed[before]),
                        None => {
                            mixed.push(next);
                            next += 1;
                        }
                    }
                }
            }
        }
        if mixed.len() >= length {
            break;
        }
    }
    [("zipf", zipf), ("scan", scan), ("loop", looped), ("mixed", mixed)]
}

fn our_hits(trace: &[u64], capacity: u64) -> usize {
    let config = CacheConfig {
        max: NonZeroU64::new(capacity),
        ..CacheConfig::default()
    };
    let mut cache = Cache::new(config, Random::new(0));
    // The host's part: an id for each name that the cache knows.
    let mut ids: HashMap<u64, u32> = HashMap::new();
    let mut names: Vec<u64> = Vec::new();
    let mut free: Vec<u32> = Vec::new();
    let mut hits = 0;
    for name in trace {
        let hash = (name.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        let found = match ids.get(name) {
            Some(id) => cache.get(Instant::ZERO, Key { id: *id, hash }),
            None => {
                cache.missed(Instant::ZERO, hash);
                Lookup::Missing
            }
        };
        if found == Lookup::Fresh {
            hits += 1;
            continue;
        }
        let id = free.pop().unwrap_or_else(|| {
            names.push(0);
            (names.len() - 1) as u32
        });
        names[id as usize] = *name;
        ids.insert(*name, id);
        cache.set(Instant::ZERO, Key { id, hash }, Store::default());
        while let Some((id, gone)) = cache.pop_gone() {
            if gone == tidegate::machine::cache::Gone::Forgotten {
                ids.remove(&names[id as usize]);
                free.push(id);
            }
        }
    }
    hits
}

fn lru_hits(trace: &[u64], capacity: usize) -> usize {
    let mut used: HashMap<u64, usize> = HashMap::new();
    let mut by_use: BTreeMap<usize, u64> = BTreeMap::new();
    let mut hits = 0;
    for (now, name) in trace.iter().enumerate() {
        match used.insert(*name, now) {
            Some(before) => {
                hits += 1;
                by_use.remove(&before);
            }
            None if by_use.len() == capacity => {
                if let Some((_, oldest)) = by_use.pop_first() {
                    used.remove(&oldest);
                }
            }
            None => {}
        }
        by_use.insert(now, *name);
    }
    hits
}

/// Keys whose popularity falls with a power of their rank.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u64, skew: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-skew);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|share| *share /= sum);
        Self(sums)
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.unit();
        self.0.partition_point(|sum| *sum < at) as u64
    }
}
