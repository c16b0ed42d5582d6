//! Tickets: names for what a machine holds, that can be out of date but never mean somebody else's slot.

/// An index with a generation. 24 bits of index and 27 of generation cross to JavaScript in one `f64`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticket {
    index: u32,
    generation: u32,
}

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 27;
const INDEX_LIMIT: u32 = 1 << INDEX_BITS;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

impl Ticket {
    /// How many bits [`to_bits`](Self::to_bits) uses: two remain for a tag in the 53 that an `f64` holds exactly.
    pub const BITS: u32 = INDEX_BITS + GENERATION_BITS;

    /// The ticket as one number below 2^51.
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << INDEX_BITS) | self.index as u64
    }

    /// The ticket that [`to_bits`](Self::to_bits) gave; higher bits are ignored.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            index: (bits as u32) & (INDEX_LIMIT - 1),
            generation: ((bits >> INDEX_BITS) as u32) & GENERATION_MASK,
        }
    }

    /// The place in the slab, for hosts that keep an array beside it.
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// A ticket whose holder is gone: released, cancelled or expired before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaleTicket;

impl core::fmt::Display for StaleTicket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the ticket is out of date: it was released, cancelled or expired before")
    }
}

impl core::error::Error for StaleTicket {}

/// Values behind tickets. Freed indices return first-in first-out, so that a generation lasts as long as it can.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    // The free slots form a list through their `next` fields, oldest first.
    oldest_free: Option<u32>,
    newest_free: Option<u32>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Clone, Debug)]
enum Content<T> {
    Taken(T),
    Free { next: Option<u32> },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    /// An empty slab; it allocates with the first value.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            oldest_free: None,
            newest_free: None,
            len: 0,
        }
    }

    /// Stores a value. `None` gives it back when all 2^24 places are taken.
    pub fn insert(&mut self, value: T) -> Result<Ticket, T> {
        if let Some(index) = self.oldest_free {
            let slot = &mut self.slots[index as usize];
            if let Content::Free { next } = slot.content {
                self.oldest_free = next;
                if next.is_none() {
                    self.newest_free = None;
                }
            }
            slot.content = Content::Taken(value);
            self.len += 1;
            return Ok(Ticket {
                index,
                generation: slot.generation,
            });
        }
        let index = self.slots.len() as u32;
        if index >= INDEX_LIMIT {
            return Err(value);
        }
        self.slots.push(Slot {
            generation: 0,
            content: Content::Taken(value),
        });
        self.len += 1;
        Ok(Ticket { index, generation: 0 })
    }

    /// The value behind a ticket that is not stale.
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        match self.slots.get(ticket.index as usize) {
            Some(Slot {
                generation,
                content: Content::Taken(value),
            }) if *generation == ticket.generation => Some(value),
            _ => None,
        }
    }

    /// The value behind a ticket that is not stale, to change.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        match self.slots.get_mut(ticket.index as usize) {
            Some(Slot {
                generation,
                content: Content::Taken(value),
            }) if *generation == ticket.generation => Some(value),
            _ => None,
        }
    }

    /// Whether the ticket is not stale.
    pub fn contains(&self, ticket: Ticket) -> bool {
        self.get(ticket).is_some()
    }

    /// Takes a value out and makes its ticket stale.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let slot = self.slots.get_mut(ticket.index as usize)?;
        if slot.generation != ticket.generation || !matches!(slot.content, Content::Taken(_)) {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        let content = core::mem::replace(&mut slot.content, Content::Free { next: None });
        match self.newest_free {
            Some(newest) => {
                self.slots[newest as usize].content = Content::Free {
                    next: Some(ticket.index),
                }
            }
            None => self.oldest_free = Some(ticket.index),
        }
        self.newest_free = Some(ticket.index);
        self.len -= 1;
        match content {
            Content::Taken(value) => Some(value),
            Content::Free { .. } => None,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values with their tickets, by index.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| match &slot.content {
                Content::Taken(value) => Some((
                    Ticket {
                        index: index as u32,
                        generation: slot.generation,
                    },
                    value,
                )),
                Content::Free { .. } => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_ticket_survives_the_crossing_as_one_number() {
        let ticket = Ticket {
            index: INDEX_LIMIT - 1,
            generation: GENERATION_MASK,
        };
        assert!(ticket.to_bits() < 1 << Ticket::BITS);
        assert_eq!(Ticket::from_bits((ticket.to_bits() as f64) as u64), ticket);
    }

    #[test]
    fn freed_indices_return_first_in_first_out() {
        let mut slab = Slab::new();
        let tickets: Vec<_> = (0..3).map(|n| slab.insert(n).unwrap()).collect();
        slab.remove(tickets[1]);
        slab.remove(tickets[0]);
        assert_eq!(slab.insert(9).unwrap().index(), 1);
        assert_eq!(slab.insert(9).unwrap().index(), 0);
        assert_eq!(slab.insert(9).unwrap().index(), 3);
    }

    proptest! {
        #[test]
        fn a_stale_ticket_never_finds_another_value(ops in prop::collection::vec(any::<(bool, u8)>(), 1..200)) {
            let mut slab = Slab::new();
            let mut live = HashMap::new();
            let mut dead = Vec::new();
            for (n, (insert, pick)) in ops.into_iter().enumerate() {
                if insert || live.is_empty() {
                    live.insert(slab.insert(n).unwrap(), n);
                } else {
                    let ticket = *live.keys().nth(pick as usize % live.len()).unwrap();
                    prop_assert_eq!(slab.remove(ticket), live.remove(&ticket));
                    dead.push(ticket);
                }
                prop_assert_eq!(slab.len(), live.len());
                prop_assert_eq!(slab.iter().count(), live.len());
                for (ticket, value) in &live { prop_assert_eq!(slab.get(*ticket), Some(value)); }
                for ticket in &dead { prop_assert_eq!(slab.get(*ticket), None); }
            }
        }
    }
}
