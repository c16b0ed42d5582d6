//! The bounded waiting room of a pool: who is next, and what happens when there is no room.
//!
//! **Order.** Fixed on arrival as `round − priority × aging`. Without keys the round is the arrival number, so at most
//! Δpriority × aging later arrivals can overtake anybody, whatever the clock does. With keys the round is the key's own
//! turn (start-time fair queueing: Goyal, Vin and Cheng, 1996): a key that queues a thousand tasks does not delay the
//! first task of another.
//!
//! **Room.** Up to `capacity` tasks are queued. What comes then is up to [`Overflow`]; with `Wait` it is parked
//! outside, keeps its rank, and enters the moment there is room.

use super::line::Line;
use super::ticket::Ticket;
use super::turns::Turns;

/// What happens to a task that finds the queue full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// It waits outside until there is room: backpressure on the producer.
    #[default]
    Wait,
    /// It is dropped itself.
    DropNewest,
    /// The longest queued of the lowest priority is dropped for it.
    DropOldest,
    /// It is refused at once.
    Error,
}

/// The rules of a queue. Unbounded, and so never overflowing, unless told otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// How many tasks may be queued; `None` is unbounded, 0 is no queue at all.
    pub capacity: Option<u32>,
    /// What happens beyond that.
    pub overflow: Overflow,
    /// How many may wait outside for room; `None` is unbounded.
    pub max_waiters: Option<u32>,
    /// How many later arrivals one step of priority may overtake.
    pub aging: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: None,
            overflow: Overflow::Wait,
            max_waiters: None,
            aging: 16,
        }
    }
}

/// Where a newcomer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// Into the queue.
    Inside,
    /// Outside, until there is room.
    Outside,
    /// Into the queue, once the victim has left it.
    InsteadOf(Ticket),
    /// Nowhere: there is no room and it is dropped.
    Dropped,
    /// Nowhere: there is no room and it is refused.
    Full,
}

/// What the order of a queued task was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    pub(crate) rank: i64,
    pub(crate) priority: i32,
    pub(crate) key: u32,
}

impl Standing {
    /// Of one that never waited.
    pub(crate) const NONE: Self = Self {
        rank: 0,
        priority: 0,
        key: 0,
    };
}

/// The state of a waiting room. It holds tickets only: their owner knows which still wait, and says so in `queued` and
/// `outside` predicates.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    config: QueueConfig,
    inside: Line<Ticket>,
    outside: Line<Ticket>,
    by_priority: Line<Ticket>,
    turns: Turns,
    last_round: i64,
    served: i64,
    inside_count: u32,
    outside_count: u32,
}

impl Queue {
    pub(crate) fn new(config: QueueConfig) -> Self {
        Self {
            config,
            inside: Line::new(),
            outside: Line::new(),
            by_priority: Line::new(),
            turns: Turns::default(),
            last_round: 0,
            served: 0,
            inside_count: 0,
            outside_count: 0,
        }
    }

    pub(crate) fn queued(&self) -> u32 {
        self.inside_count
    }

    pub(crate) fn waiting_outside(&self) -> u32 {
        self.outside_count
    }

    pub(crate) fn capacity(&self) -> Option<u32> {
        self.config.capacity
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inside_count == 0 && self.outside_count == 0
    }

    pub(crate) fn has_room(&self) -> bool {
        self.config
            .capacity
            .is_none_or(|capacity| self.inside_count < capacity)
    }

    /// Where a newcomer would go; nothing changes yet.
    pub(crate) fn room(&mut self, queued: impl Fn(Ticket) -> bool) -> Room {
        if self.has_room() {
            return Room::Inside;
        }
        match self.config.overflow {
            Overflow::Wait
                if self
                    .config
                    .max_waiters
                    .is_none_or(|most| self.outside_count < most) =>
            {
                Room::Outside
            }
            Overflow::Wait | Overflow::Error => Room::Full,
            Overflow::DropNewest => Room::Dropped,
            Overflow::DropOldest => match self.by_priority.peek(queued) {
                Some((_, victim)) => Room::InsteadOf(victim),
                None => Room::Dropped,
            },
        }
    }

    /// The standing of a newcomer, fixed here for as long as it waits.
    pub(crate) fn arrive(&mut self, priority: i32, key: u32) -> Standing {
        let last = if key == 0 {
            self.last_round
        } else {
            self.turns.last_round(key)
        };
        let round = last.max(self.served) + 1;
        if key == 0 {
            self.last_round = round;
        } else {
            self.turns.arrive(key, round);
        }
        Standing {
            rank: round - i64::from(priority) * i64::from(self.config.aging),
            priority,
            key,
        }
    }

    #[inline(always)]
    pub(crate) fn enter(&mut self, ticket: Ticket, standing: Standing) {
        self.inside.push(standing.rank, ticket);
        if self.config.overflow == Overflow::DropOldest {
            self.by_priority.push(i64::from(standing.priority), ticket);
        }
        self.inside_count += 1;
    }

    pub(crate) fn park(&mut self, ticket: Ticket, standing: Standing) {
        self.outside.push(standing.rank, ticket);
        self.outside_count += 1;
    }

    /// The next inside, or, where there is no queue to speak of, outside.
    pub(crate) fn head(
        &mut self,
        queued: impl Fn(Ticket) -> bool,
        parked: impl Fn(Ticket) -> bool,
    ) -> Option<Ticket> {
        if self.inside_count > 0 {
            return self.inside.peek(queued).map(|(_, ticket)| ticket);
        }
        self.outside.peek(parked).map(|(_, ticket)| ticket)
    }

    pub(crate) fn next_outside(&mut self, parked: impl Fn(Ticket) -> bool) -> Option<Ticket> {
        if self.outside_count == 0 {
            return None;
        }
        self.outside.peek(parked).map(|(_, ticket)| ticket)
    }

    /// Takes out the head that was just looked at, since it was granted: later arrivals take their turns from here. Its owner
    /// no longer calls it queued.
    #[inline(always)]
    pub(crate) fn serve(&mut self, standing: Standing, queued: impl Fn(Ticket) -> bool) {
        self.served = self.served.max(standing.rank);
        if self.inside_count > 0 {
            self.inside_count -= 1;
            self.inside.drop_first();
            if self.config.overflow == Overflow::DropOldest {
                self.by_priority.left(queued);
            }
        } else {
            self.outside_count -= 1;
            self.outside.drop_first();
        }
        self.end_turn(standing.key);
    }

    /// One that was inside has left, for whatever reason. Its owner no longer calls it queued.
    pub(crate) fn left_inside(&mut self, standing: Standing, queued: impl Fn(Ticket) -> bool) {
        self.inside_count -= 1;
        self.inside.left(&queued);
        if self.config.overflow == Overflow::DropOldest {
            self.by_priority.left(&queued);
        }
        self.end_turn(standing.key);
    }

    /// One that was outside has left. Its owner no longer calls it parked. `entered` says it went inside.
    pub(crate) fn left_outside(
        &mut self,
        standing: Standing,
        entered: bool,
        parked: impl Fn(Ticket) -> bool,
    ) {
        self.outside_count -= 1;
        self.outside.left(parked);
        if !entered {
            self.end_turn(standing.key);
        }
    }

    #[inline(always)]
    fn end_turn(&mut self, key: u32) {
        if key != 0 {
            self.turns.leave(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn order_of(config: QueueConfig, arrivals: &[(i32, u32)]) -> Vec<usize> {
        let mut queue = Queue::new(config);
        let mut slab = super::super::ticket::Slab::new();
        let mut standings = Vec::new();
        for (n, (priority, key)) in arrivals.iter().enumerate() {
            let standing = queue.arrive(*priority, *key);
            standings.push(standing);
            let ticket = slab.insert(n).unwrap();
            queue.enter(ticket, standing);
        }
        let mut order = Vec::new();
        while let Some(ticket) = queue.head(|t| slab.contains(t), |_| false) {
            let n = slab.remove(ticket).unwrap();
            queue.serve(standings[n], |t| slab.contains(t));
            order.push(n);
        }
        order
    }

    #[test]
    fn equal_priorities_are_first_come_first_served() {
        assert_eq!(order_of(QueueConfig::default(), &[(0, 0); 5]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_step_of_priority_overtakes_at_most_aging_arrivals() {
        let config = QueueConfig {
            aging: 2,
            ..QueueConfig::default()
        };
        // The last, one step up, draws level with the third, which came first and so stays first.
        assert_eq!(
            order_of(config, &[(0, 0), (0, 0), (0, 0), (0, 0), (1, 0)]),
            [0, 1, 2, 4, 3]
        );
    }

    #[test]
    fn keys_take_turns() {
        let arrivals = [(0, 1), (0, 1), (0, 1), (0, 1), (0, 2), (0, 2), (0, 3)];
        assert_eq!(order_of(QueueConfig::default(), &arrivals), [0, 4, 6, 1, 5, 2, 3]);
    }

    #[test]
    fn keys_that_nobody_waits_for_are_forgotten() {
        let mut queue = Queue::new(QueueConfig::default());
        let mut slab = super::super::ticket::Slab::new();
        for key in 1..100 {
            let standing = queue.arrive(0, key);
            let ticket = slab.insert(()).unwrap();
            queue.enter(ticket, standing);
            slab.remove(ticket);
            queue.left_inside(standing, |t| slab.contains(t));
        }
        assert!(queue.turns.is_empty());
    }

    #[test]
    fn the_next_to_be_dropped_is_found_although_many_have_left() {
        let config = QueueConfig {
            capacity: Some(1),
            overflow: Overflow::DropOldest,
            ..QueueConfig::default()
        };
        let mut queue = Queue::new(config);
        let mut slab = super::super::ticket::Slab::new();
        for n in 0..1000 {
            let standing = queue.arrive(0, 0);
            let ticket = slab.insert(n).unwrap();
            queue.enter(ticket, standing);
            assert_eq!(queue.room(|t| slab.contains(t)), Room::InsteadOf(ticket));
            slab.remove(ticket);
            queue.left_inside(standing, |t| slab.contains(t));
        }
        let mut left = 0;
        while queue.by_priority.pop(|_| true).is_some() {
            left += 1;
        }
        assert!(left < 100, "{left} that are gone are still remembered");
    }

    #[test]
    fn a_key_gives_its_turn_back_when_it_leaves_and_not_when_it_goes_inside() {
        let mut queue = Queue::new(QueueConfig::default());
        let mut slab = super::super::ticket::Slab::new();
        let standing = queue.arrive(0, 7);
        let ticket = slab.insert(()).unwrap();
        queue.park(ticket, standing);
        queue.left_outside(standing, true, |_| false);
        queue.enter(ticket, standing);
        assert!(!queue.turns.is_empty());
        queue.left_inside(standing, |_| false);
        assert!(queue.turns.is_empty());
        let standing = queue.arrive(0, 7);
        queue.park(ticket, standing);
        queue.left_outside(standing, false, |_| false);
        assert!(queue.turns.is_empty() && queue.is_empty());
    }
}
