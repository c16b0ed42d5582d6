//! Breakers in a world: used alone, or standing before any number of pools.

use super::World;
use super::gate::Transitions;
use crate::machine::breaker::{Breaker, BreakerConfig, BreakerSnapshot, BreakerState, Transition};
use crate::machine::gate::{Outcome, Pass};
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Refusal};
use core::time::Duration;

/// A breaker and the pools that hang on it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) breaker: Breaker,
    pub(super) pools: Vec<MachineId>,
}

// Enough for a host that looks after every call; one that never looks costs no memory.
const REMEMBERED_CHANGES: usize = 64;

impl World {
    /// Makes a closed breaker. `None` when there are 2^24 already.
    pub fn open_breaker(&mut self, config: BreakerConfig) -> Option<MachineId> {
        self.insert_breaker(Breaker::new(config))
    }

    /// Makes the breaker that a snapshot tells of. `None` when there are 2^24 already.
    pub fn restore_breaker(
        &mut self,
        now: Instant,
        config: BreakerConfig,
        snapshot: BreakerSnapshot,
    ) -> Option<MachineId> {
        self.insert_breaker(Breaker::restore(config, snapshot, now))
    }

    /// Forgets a breaker; pools that hung on it go on without one.
    pub fn drop_breaker(&mut self, id: MachineId) {
        for pool in self
            .breakers
            .remove(id)
            .map(|shared| shared.pools)
            .unwrap_or_default()
        {
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.breaker = None;
            }
        }
    }

    /// A breaker, to look at.
    pub fn breaker(&self, id: MachineId) -> Option<&Breaker> {
        self.breakers.get(id).map(|shared| &shared.breaker)
    }

    /// The state of a breaker at `now`.
    pub fn breaker_state(&mut self, now: Instant, id: MachineId) -> Option<BreakerState> {
        let by_time = self.breakers.get_mut(id)?.breaker.on_deadline(now);
        self.breaker_changed(now, id, [by_time, None]);
        self.breakers.get_mut(id).map(|shared| shared.breaker.state(now))
    }

    /// What outlives a breaker.
    pub fn breaker_snapshot(&mut self, now: Instant, id: MachineId) -> Option<BreakerSnapshot> {
        self.breakers
            .get_mut(id)
            .map(|shared| shared.breaker.snapshot(now))
    }

    /// Lets a call begin: see [`Breaker::admit`].
    ///
    /// # Errors
    /// Why not, and when to come back.
    pub fn breaker_admit(&mut self, now: Instant, id: MachineId) -> Result<Pass, Refusal> {
        let shared = self.breakers.get_mut(id).ok_or(Refusal::Closed)?;
        let by_time = shared.breaker.on_deadline(now);
        let admitted = shared.breaker.admit(now);
        self.breaker_changed(now, id, [by_time, None]);
        admitted
    }

    /// Judges a call that was admitted: see [`Breaker::record`].
    pub fn breaker_record(
        &mut self,
        now: Instant,
        id: MachineId,
        pass: Pass,
        outcome: Outcome,
        took: Duration,
    ) {
        let Some(shared) = self.breakers.get_mut(id) else {
            return;
        };
        let changed = shared.breaker.record(now, pass, outcome, took, &mut self.random);
        self.breaker_changed(now, id, [changed, None]);
    }

    /// Turns everybody away until it is lifted as often: see [`Breaker::isolate`].
    pub fn breaker_isolate(&mut self, now: Instant, id: MachineId) {
        let Some(shared) = self.breakers.get_mut(id) else {
            return;
        };
        let changed = shared.breaker.isolate(now);
        self.breaker_changed(now, id, [changed, None]);
    }

    /// Takes one isolation back: see [`Breaker::lift`].
    pub fn breaker_lift(&mut self, now: Instant, id: MachineId) {
        let Some(shared) = self.breakers.get_mut(id) else {
            return;
        };
        let changed = shared.breaker.lift(now);
        self.breaker_changed(now, id, [changed, None]);
    }

    /// The oldest change of a breaker that nobody has heard of. The last 64 are remembered.
    pub fn breaker_change(&mut self) -> Option<(MachineId, Transition)> {
        self.changes.pop_front()
    }

    /// Carries on what a call did to a breaker: when it lets nobody pass any more, nobody waits behind it either.
    pub(super) fn breaker_changed(&mut self, now: Instant, id: MachineId, transitions: Transitions) {
        for transition in transitions.into_iter().flatten() {
            if self.changes.len() == REMEMBERED_CHANGES {
                self.changes.pop_front();
            }
            self.changes.push_back((id, transition));
            if !matches!(transition.to, BreakerState::Open | BreakerState::Isolated) {
                continue;
            }
            let Some(shared) = self.breakers.get_mut(id) else {
                return;
            };
            let Some(refusal) = shared.breaker.refuse(now) else {
                continue;
            };
            for pool in shared.pools.clone() {
                self.refuse_queue_of(pool, refusal);
            }
        }
    }

    fn insert_breaker(&mut self, breaker: Breaker) -> Option<MachineId> {
        self.breakers.insert(Shared {
            breaker,
            pools: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::permits::{Admission, Ask};
    use crate::machine::queue::QueueConfig;
    use crate::machine::rate::RateConfig;
    use crate::machine::wakes::Why;
    use crate::machine::world::PoolConfig;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn pool(world: &mut World, concurrency: u32) -> MachineId {
        let queue = QueueConfig::default();
        world.open_pool(PoolConfig { concurrency, queue }).unwrap()
    }

    fn breaker(world: &mut World, failures: u32) -> MachineId {
        let config = BreakerConfig::default().consecutive(failures).unwrap();
        world.open_breaker(config).unwrap()
    }

    fn granted(admission: Admission) -> crate::machine::ticket::Ticket {
        match admission {
            Admission::Granted(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_breaker_that_opens_refuses_the_queues_of_every_pool_that_hangs_on_it() {
        let mut world = World::new(1);
        let shared = breaker(&mut world, 1);
        let (a, b) = (pool(&mut world, 1), pool(&mut world, 1));
        for pool in [a, b] {
            world.gate_pool(pool, [], Some(shared)).unwrap();
        }
        let running = granted(world.pool_request(NOW, a, Ask::PLAIN));
        let _other = granted(world.pool_request(NOW, b, Ask::PLAIN));
        for pool in [a, b] {
            assert!(matches!(
                world.pool_request(NOW, pool, Ask::PLAIN),
                Admission::Queued(_)
            ));
        }
        world.pool_release(NOW, a, running, Outcome::Failure).unwrap();
        let mut refused: Vec<_> = std::iter::from_fn(|| world.wake())
            .map(|wake| (wake.machine, wake.why))
            .collect();
        refused.sort_by_key(|(machine, _)| *machine);
        let retry_at = Some(NOW + Duration::from_secs(60));
        let why = Why::Refused(Refusal::BrokenCircuit { retry_at });
        assert_eq!(refused, [(a, why), (b, why)]);
        let transition = Transition {
            from: BreakerState::Closed,
            to: BreakerState::Open,
        };
        assert_eq!(world.breaker_change(), Some((shared, transition)));
        assert_eq!(
            world.pool_request(NOW, b, Ask::PLAIN),
            Admission::Refused(Refusal::BrokenCircuit { retry_at })
        );
    }

    #[test]
    fn a_refusal_by_the_breaker_takes_no_token() {
        let mut world = World::new(1);
        let shared = breaker(&mut world, 1);
        let gated = pool(&mut world, 2);
        let rate = RateConfig::token_bucket(2, Duration::from_secs(1), None).unwrap();
        world.gate_pool(gated, [rate], Some(shared)).unwrap();
        let running = granted(world.pool_request(NOW, gated, Ask::PLAIN));
        world.breaker_isolate(NOW, shared);
        assert!(matches!(
            world.pool_request(NOW, gated, Ask::PLAIN),
            Admission::Refused(_)
        ));
        let refused = world.breaker(shared).map(|breaker| breaker.counts().refused);
        assert_eq!(refused, Some(1), "the breaker counts whom it turned away");
        world.pool_release(NOW, gated, running, Outcome::Success).unwrap();
        world.breaker_lift(NOW, shared);
        granted(world.pool_request(NOW, gated, Ask::PLAIN));
    }

    #[test]
    fn an_empty_bucket_queues_and_the_world_asks_to_be_called_when_the_token_is_there() {
        let mut world = World::new(1);
        let gated = pool(&mut world, 5);
        let rate = RateConfig::token_bucket(1, Duration::from_secs(1), None).unwrap();
        world.gate_pool(gated, [rate], None).unwrap();
        granted(world.pool_request(NOW, gated, Ask::PLAIN));
        let Admission::Queued(second) = world.pool_request(NOW, gated, Ask::PLAIN) else {
            panic!()
        };
        let then = NOW + Duration::from_secs(1);
        assert_eq!(world.next_deadline(), Some(then));
        world.on_deadline(Instant::from_micros(then.as_micros() - 1));
        assert_eq!(world.wake(), None);
        world.on_deadline(then);
        let wake = world.wake().unwrap();
        assert_eq!((wake.ticket, wake.why), (second, Why::Granted));
    }

    #[test]
    fn a_start_that_never_began_gives_its_token_back() {
        let mut world = World::new(1);
        let gated = pool(&mut world, 5);
        let rate = RateConfig::token_bucket(1, Duration::from_secs(1), None).unwrap();
        world.gate_pool(gated, [rate], None).unwrap();
        let first = granted(world.pool_request(NOW, gated, Ask::PLAIN));
        world
            .pool_release(NOW, gated, first, Outcome::NeverStarted)
            .unwrap();
        granted(world.pool_request(NOW, gated, Ask::PLAIN));
    }

    #[test]
    fn an_outcome_reaches_the_breaker_and_a_cancelled_probe_returns_its_permit_unjudged() {
        let mut world = World::new(1);
        let shared = breaker(&mut world, 1);
        let gated = pool(&mut world, 5);
        world.gate_pool(gated, [], Some(shared)).unwrap();
        let first = granted(world.pool_request(NOW, gated, Ask::PLAIN));
        world.pool_release(NOW, gated, first, Outcome::Failure).unwrap();
        let later = NOW + Duration::from_secs(60);
        let probe = granted(world.pool_request(later, gated, Ask::PLAIN));
        assert!(matches!(
            world.pool_request(later, gated, Ask::PLAIN),
            Admission::Refused(_)
        ));
        world.pool_release(later, gated, probe, Outcome::Ignored).unwrap();
        let probe = granted(world.pool_request(later, gated, Ask::PLAIN));
        world.pool_release(later, gated, probe, Outcome::Success).unwrap();
        assert_eq!(world.breaker_state(later, shared), Some(BreakerState::Closed));
    }
}
