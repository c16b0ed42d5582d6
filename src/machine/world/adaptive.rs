//! Pools whose size finds itself: each end of a task is a sample, and the limit it moves is the pool's.

use super::{NoSuchMachine, World};
use crate::machine::adaptive::{Adaptive, AdaptiveConfig, Ending, Sample, Scaled};
use crate::machine::gate::Outcome;
use crate::machine::permits::Permits;
use crate::machine::time::Instant;
use crate::machine::wakes::MachineId;
use core::time::Duration;

/// What a call is about to tell an adaptive pool: how things stood before it, and the end it brought.
#[derive(Debug)]
pub(super) struct Watched {
    in_flight: u32,
    queued: u32,
    queue_capacity: Option<u32>,
    timeouts: u64,
    sample: Option<Sample>,
}

// Enough for a host that looks after every call; one that never looks costs no memory.
const REMEMBERED: usize = 64;

impl World {
    /// Lets a pool find its own size, or with `None` keep the one it has.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn adapt_pool(
        &mut self,
        now: Instant,
        id: MachineId,
        config: Option<AdaptiveConfig>,
    ) -> Result<(), NoSuchMachine> {
        let pool = self.pools.get_mut(id).ok_or(NoSuchMachine)?;
        let adaptive = config.map(Adaptive::new);
        let most = config.map_or(0, |config| config.max());
        let size = adaptive.as_ref().map_or(pool.permits.capacity(), Adaptive::limit);
        pool.permits.set_elastic(most);
        pool.adaptive = adaptive;
        self.pool_resize(now, id, size);
        Ok(())
    }

    /// Lets tasks wait that only `most` slots can hold, because whoever resizes the pool may give it so many.
    pub fn stretch_pool(&mut self, id: MachineId, most: u32) {
        if let Some(pool) = self.pools.get_mut(id) {
            pool.permits.set_elastic(most);
        }
    }

    /// Holds an adaptive pool at or below `ceiling` until it is lifted with `None`: see [`Adaptive::set_ceiling`].
    pub fn pool_ceiling(&mut self, now: Instant, id: MachineId, ceiling: Option<u32>) {
        let pool = self.pools.get_mut(id);
        if let Some(scaled) = pool.and_then(|pool| pool.adaptive.as_mut()?.set_ceiling(ceiling)) {
            self.pool_resize(now, id, scaled.to);
            self.note_scale(id, scaled);
        }
    }

    /// What moves the size of a pool, to look at.
    pub fn pool_adaptive(&self, id: MachineId) -> Option<&Adaptive> {
        self.pools.get(id)?.adaptive.as_ref()
    }

    /// The oldest change of a pool's size by itself that nobody has heard of. The last 64 are remembered.
    pub fn pool_scaled(&mut self) -> Option<(MachineId, Scaled)> {
        self.scales.pop_front()
    }

    pub(super) fn note_scale(&mut self, id: MachineId, scaled: Scaled) {
        if self.scales.len() == REMEMBERED {
            self.scales.pop_front();
        }
        self.scales.push_back((id, scaled));
    }
}

impl Watched {
    pub(super) fn before(permits: &Permits) -> Self {
        Self {
            in_flight: permits.in_use(),
            queued: permits.queued(),
            queue_capacity: permits.queue_capacity(),
            timeouts: permits.counts.task_timeouts,
            sample: None,
        }
    }

    /// A task has ended. Of several in one call the last counts: they tell of one moment.
    pub(super) fn ended(&mut self, outcome: Outcome, took: u64) {
        let ending = match outcome {
            Outcome::Success => Ending::Done,
            Outcome::Failure => Ending::Failed,
            Outcome::Ignored | Outcome::NeverStarted => return,
        };
        self.sample = Some(Sample {
            latency: Duration::from_micros(took),
            in_flight: self.in_flight,
            queued: self.queued,
            queue_capacity: self.queue_capacity,
            ending,
        });
    }

    /// What the call was, once it has ended: a failure that was a time-out is the target's sign of too much load.
    pub(super) fn sample(self, permits: &Permits) -> Option<Sample> {
        let timed_out = permits.counts.task_timeouts > self.timeouts;
        self.sample.map(|sample| Sample {
            ending: if timed_out && sample.ending == Ending::Failed {
                Ending::Dropped
            } else {
                sample.ending
            },
            ..sample
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::adaptive::Algorithm;
    use crate::machine::permits::{Admission, Ask};
    use crate::machine::queue::QueueConfig;
    use crate::machine::ticket::Ticket;
    use crate::machine::world::PoolConfig;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn adaptive_pool(world: &mut World, max: u32) -> MachineId {
        let queue = QueueConfig::default();
        let id = world
            .open_pool(PoolConfig {
                concurrency: 1,
                queue,
            })
            .unwrap();
        let config = AdaptiveConfig::new(Algorithm::Aimd, 1, max)
            .unwrap()
            .initial(2)
            .unwrap();
        world.adapt_pool(at(0), id, Some(config)).unwrap();
        id
    }

    fn fill(world: &mut World, id: MachineId, now: Instant, ask: Ask) -> Vec<Ticket> {
        let mut running = Vec::new();
        while let Admission::Granted(ticket) = world.pool_request(now, id, ask) {
            running.push(ticket);
        }
        running
    }

    #[test]
    fn a_busy_pool_whose_tasks_go_well_grows_to_its_most_and_no_further() {
        let mut world = World::new(1);
        let id = adaptive_pool(&mut world, 5);
        assert_eq!(world.pool(id).map(Permits::capacity), Some(2));
        let none_queued = Ask {
            patience: crate::machine::permits::Patience::None,
            ..Ask::PLAIN
        };
        for round in 0..50 {
            for ticket in fill(&mut world, id, at(round * 10), none_queued) {
                world
                    .pool_release(at(round * 10 + 5), id, ticket, Outcome::Success)
                    .unwrap();
            }
        }
        assert_eq!(world.pool(id).map(Permits::capacity), Some(5));
        assert!(world.pool_scaled().is_some());
    }

    #[test]
    fn tasks_that_run_out_of_time_shrink_it() {
        let mut world = World::new(1);
        let id = adaptive_pool(&mut world, 50);
        let ask = Ask {
            patience: crate::machine::permits::Patience::None,
            run_for: 5_000,
            ..Ask::PLAIN
        };
        world.pool_ceiling(at(0), id, None);
        for round in 0..100 {
            for ticket in fill(&mut world, id, at(round * 10), ask) {
                world
                    .pool_release(at(round * 10 + 1), id, ticket, Outcome::Success)
                    .unwrap();
            }
        }
        let grown = world.pool(id).map(Permits::capacity).unwrap();
        for round in 100..110 {
            fill(&mut world, id, at(round * 10), ask);
            world.on_deadline(at(round * 10 + 5));
        }
        assert!(world.pool(id).map(Permits::capacity).unwrap() < grown);
    }

    #[test]
    fn tasks_that_fail_for_a_reason_of_their_own_leave_it_as_it_is() {
        let mut world = World::new(1);
        let id = adaptive_pool(&mut world, 50);
        let ask = Ask {
            patience: crate::machine::permits::Patience::None,
            ..Ask::PLAIN
        };
        for round in 0..10 {
            for ticket in fill(&mut world, id, at(round * 10), ask) {
                world
                    .pool_release(at(round * 10 + 1), id, ticket, Outcome::Failure)
                    .unwrap();
            }
        }
        assert_eq!(world.pool(id).map(Permits::capacity), Some(2));
        assert!(world.pool_scaled().is_none());
    }

    #[test]
    fn a_ceiling_holds_it_down_and_lifting_it_gives_the_size_back() {
        let mut world = World::new(1);
        let id = adaptive_pool(&mut world, 5);
        world.pool_ceiling(at(0), id, Some(1));
        assert_eq!(world.pool(id).map(Permits::capacity), Some(1));
        world.pool_ceiling(at(0), id, None);
        assert_eq!(world.pool(id).map(Permits::capacity), Some(2));
    }

    #[test]
    fn a_weight_that_only_a_grown_pool_can_hold_may_wait() {
        let mut world = World::new(1);
        let id = adaptive_pool(&mut world, 5);
        let heavy = Ask {
            weight: 5,
            ..Ask::PLAIN
        };
        let _one = world.pool_request(at(0), id, Ask::PLAIN);
        assert!(matches!(
            world.pool_request(at(0), id, heavy),
            Admission::Queued(_)
        ));
        let too_heavy = Ask {
            weight: 6,
            ..Ask::PLAIN
        };
        assert!(matches!(
            world.pool_request(at(0), id, too_heavy),
            Admission::Refused(_)
        ));
    }
}
