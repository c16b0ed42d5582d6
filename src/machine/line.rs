//! A waiting line: items in the order of a rank, cheap when ranks arrive in order.
//!
//! Nearly every line in this crate is fed in order (a plain queue, timeouts of one length), so items that do not
//! belong before the last one go to the back of a deque at no cost; the others go to a heap, and the front is the
//! lesser of the two. Leaving from the middle is lazy: whoever owns the line knows which items still live, and the
//! line sweeps the rest away once they are the majority.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Items of type `T` by rank; items of one rank by arrival.
#[derive(Clone, Debug)]
pub struct Line<T> {
    in_order: VecDeque<Item<T>>,
    out_of_order: BinaryHeap<Reverse<Item<T>>>,
    arrivals: u64,
    gone: usize,
}

#[derive(Clone, Copy, Debug)]
struct Item<T> {
    rank: i64,
    arrival: u64,
    value: T,
}

impl<T: Copy> Default for Line<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Line<T> {
    /// An empty line; it allocates with the first item.
    pub const fn new() -> Self {
        Self {
            in_order: VecDeque::new(),
            out_of_order: BinaryHeap::new(),
            arrivals: 0,
            gone: 0,
        }
    }

    /// Puts an item behind all those of its rank or less.
    pub fn push(&mut self, rank: i64, value: T) {
        self.arrivals += 1;
        let item = Item {
            rank,
            arrival: self.arrivals,
            value,
        };
        match self.in_order.back() {
            Some(last) if last.rank > rank => self.out_of_order.push(Reverse(item)),
            _ => self.in_order.push_back(item),
        }
    }

    /// The first item that still lives, and its rank.
    pub fn peek(&mut self, lives: impl Fn(T) -> bool) -> Option<(i64, T)> {
        self.peek_ranked(|_, value| lives(value))
    }

    /// [`peek`](Self::peek) where it depends on the rank as well whether an item lives.
    pub fn peek_ranked(&mut self, lives: impl Fn(i64, T) -> bool) -> Option<(i64, T)> {
        loop {
            let (&Item { rank, value, .. }, from_heap) = self.first()?;
            if lives(rank, value) {
                return Some((rank, value));
            }
            self.take(from_heap);
            self.gone = self.gone.saturating_sub(1);
        }
    }

    /// Takes out the first item that still lives.
    pub fn pop(&mut self, lives: impl Fn(T) -> bool) -> Option<(i64, T)> {
        self.pop_ranked(|_, value| lives(value))
    }

    /// [`pop`](Self::pop) where it depends on the rank as well whether an item lives.
    pub fn pop_ranked(&mut self, lives: impl Fn(i64, T) -> bool) -> Option<(i64, T)> {
        let first = self.peek_ranked(lives)?;
        self.drop_first();
        Some(first)
    }

    /// Takes out what a look at the first living one has found: the first of all.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn drop_first(&mut self) {
        if let Some((_, from_heap)) = self.first() {
            self.take(from_heap);
        }
    }

    /// Says that one of the items no longer lives. Sweeps when most of them are gone, so that a line whose items
    /// all leave early takes no more memory than the living ones need.
    pub fn left(&mut self, lives: impl Fn(T) -> bool) {
        self.left_ranked(|_, value| lives(value));
    }

    /// [`left`](Self::left) where it depends on the rank as well whether an item lives.
    pub fn left_ranked(&mut self, lives: impl Fn(i64, T) -> bool) {
        self.gone += 1;
        if self.gone > 32 && self.gone * 2 > self.in_order.len() + self.out_of_order.len() {
            self.sweep(&lives);
        }
    }

    // Rare, so one copy for all the ways to live is enough.
    #[cold]
    #[inline(never)]
    fn sweep(&mut self, lives: &dyn Fn(i64, T) -> bool) {
        self.in_order.retain(|item| lives(item.rank, item.value));
        self.out_of_order
            .retain(|Reverse(item)| lives(item.rank, item.value));
        self.gone = 0;
    }

    /// The rank of the first item, living or not: never later than that of the first living one.
    pub fn front_rank(&self) -> Option<i64> {
        self.first().map(|(item, _)| item.rank)
    }

    /// Whether not even a gone item is left.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.out_of_order.is_empty()
    }

    #[cfg_attr(feature = "bindings", inline(always))]
    fn first(&self) -> Option<(&Item<T>, bool)> {
        match (self.in_order.front(), self.out_of_order.peek()) {
            (Some(a), Some(Reverse(b))) if b < a => Some((b, true)),
            (Some(a), _) => Some((a, false)),
            (None, Some(Reverse(b))) => Some((b, true)),
            (None, None) => None,
        }
    }

    fn take(&mut self, from_heap: bool) {
        if from_heap {
            self.out_of_order.pop();
        } else {
            self.in_order.pop_front();
        }
    }
}

impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<T> Eq for Item<T> {}
impl<T> PartialOrd for Item<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Item<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank, self.arrival).cmp(&(other.rank, other.arrival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn one_rank_is_first_come_first_served() {
        let mut line = Line::new();
        (0..5).for_each(|n| line.push(7, n));
        let served: Vec<_> = std::iter::from_fn(|| line.pop(|_| true))
            .map(|(_, n)| n)
            .collect();
        assert_eq!(served, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_line_whose_items_all_leave_early_stays_small() {
        let mut line = Line::new();
        line.push(0, 0);
        for n in 1..10_000 {
            line.push(i64::from(n % 3), n);
            line.left(|live| live == 0);
        }
        assert!(line.in_order.len() + line.out_of_order.len() < 100);
    }

    proptest! {
        #[test]
        fn serves_like_a_stable_sort(ops in prop::collection::vec((0u8..4, -5i64..5), 0..200)) {
            let mut line = Line::new();
            let mut model: Vec<(i64, usize)> = Vec::new();
            let mut dead = std::collections::HashSet::new();
            for (n, (op, rank)) in ops.into_iter().enumerate() {
                match op {
                    0 | 1 => { line.push(rank, n); model.push((rank, n)); }
                    2 if !model.is_empty() => {
                        let at = (rank.unsigned_abs() as usize) % model.len();
                        dead.insert(model.remove(at).1);
                        line.left(|v| !dead.contains(&v));
                    }
                    _ => {
                        model.sort_by_key(|(rank, _)| *rank);
                        let expected = if model.is_empty() { None } else { Some(model.remove(0)) };
                        prop_assert_eq!(line.pop(|v| !dead.contains(&v)), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_is_swept_once_most_of_it_is_gone_and_not_before() {
        let mut line = Line::new();
        (0..66).for_each(|n| line.push(i64::from(n), n));
        // 33 of 66 are half, not most.
        (0..33).for_each(|_| line.left(|n| n >= 34));
        assert_eq!(line.in_order.len(), 66);
        line.left(|n| n >= 34);
        assert_eq!((line.in_order.len(), line.gone), (32, 0));
        // A short line is not worth it.
        let mut line = Line::new();
        (0..32).for_each(|n| line.push(i64::from(n), n));
        (0..32).for_each(|_| line.left(|_| false));
        assert_eq!(line.in_order.len(), 32);
    }

    #[test]
    fn it_is_empty_when_nothing_is_in_it_in_either_part() {
        let mut line = Line::new();
        assert!(line.is_empty());
        line.push(5, 'a');
        line.push(3, 'b');
        assert_eq!(line.front_rank(), Some(3));
        assert!(!line.is_empty());
        assert_eq!(line.pop(|_| true), Some((3, 'b')));
        assert!(!line.is_empty());
        assert_eq!(line.pop(|_| true), Some((5, 'a')));
        assert!(line.is_empty());
        assert_eq!(line.front_rank(), None);
    }

    #[test]
    fn items_are_the_same_only_by_rank_and_arrival() {
        let item = |rank, arrival| Item {
            rank,
            arrival,
            value: (),
        };
        assert_eq!(item(1, 2), item(1, 2));
        assert_ne!(item(1, 2), item(1, 3));
        assert_ne!(item(1, 2), item(2, 2));
    }
}
