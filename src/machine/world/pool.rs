//! Pools in a world: one admission over slots, queue, rates and breaker.

use super::adaptive::Watched;
use super::gate::{PoolGate, Transitions};
use super::{Kind, NoSuchMachine, World};
use crate::machine::adaptive::Adaptive;
use crate::machine::gate::Outcome;
use crate::machine::permits::{Admission, Ask, Permits};
use crate::machine::queue::QueueConfig;
use crate::machine::rate::{Rate, RateConfig};
use crate::machine::ticket::{StaleTicket, Ticket};
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Refusal, Wakes};

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Slots, at least 1.
    pub concurrency: u32,
    /// The queue before them.
    pub queue: QueueConfig,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) permits: Permits,
    rate: Option<Rate>,
    pub(super) breaker: Option<MachineId>,
    pub(super) adaptive: Option<Adaptive>,
}

impl World {
    /// Makes a pool. `None` when there are 2^24 already.
    pub fn open_pool(&mut self, config: PoolConfig) -> Option<MachineId> {
        self.in_time(Kind::Pool, Self::pool_on_deadline);
        // Set here and not called by name, so that a world of locks alone links no pools.
        self.pools_give_way = Some(|world, now, id, ticket| {
            let _left = world.pool_cancel(now, id, ticket);
        });
        self.pools.insert(Pool {
            permits: Permits::new(config.concurrency, config.queue),
            rate: None,
            breaker: None,
            adaptive: None,
        })
    }

    /// Whether a pool measures how long tasks wait and run, as it does at first: of thousands of pools, one for each key, nobody
    /// reads that, and each would take kilobytes.
    pub fn measure_pool(&mut self, id: MachineId, measured: bool) {
        if let Some(pool) = self.pools.get_mut(id) {
            pool.permits.measured = measured;
        }
    }

    /// Puts rates and a breaker before a pool, in the place of what stood there: from here on a start takes slots, tokens and the
    /// breaker's permission together or nothing.
    ///
    /// # Errors
    /// When the pool or the breaker is not there.
    pub fn gate_pool(
        &mut self,
        id: MachineId,
        rates: impl IntoIterator<Item = RateConfig>,
        breaker: Option<MachineId>,
    ) -> Result<(), NoSuchMachine> {
        let before = self.pools.get(id).ok_or(NoSuchMachine)?.breaker;
        if let Some(breaker) = breaker {
            self.breakers
                .get_mut(breaker)
                .ok_or(NoSuchMachine)?
                .pools
                .push(id);
        }
        self.unhang(id, before);
        let pool = self.pools.get_mut(id).ok_or(NoSuchMachine)?;
        let rate = Rate::new(rates);
        pool.rate = (!rate.is_unlimited()).then_some(rate);
        pool.breaker = breaker;
        Ok(())
    }

    /// Forgets a pool and whatever it holds; its waiters are not woken.
    pub fn drop_pool(&mut self, id: MachineId) {
        if let Some(pool) = self.pools.remove(id) {
            self.unhang(id, pool.breaker);
        }
        self.families_of_gone(id);
        self.timers.arm(id, None);
    }

    /// The permits of a pool, to look at.
    pub fn pool(&self, id: MachineId) -> Option<&Permits> {
        self.pools.get(id).map(|pool| &pool.permits)
    }

    /// Asks for a start: see [`Permits::request`].
    pub fn pool_request(&mut self, now: Instant, id: MachineId, ask: Ask) -> Admission {
        self.at_pool(now, id, |permits, gate, wakes| {
            permits.request(now, ask, gate, wakes)
        })
        .unwrap_or(Admission::Refused(Refusal::Closed))
    }

    /// Gives slots back with the outcome: see [`Permits::release`].
    pub fn pool_release(
        &mut self,
        now: Instant,
        id: MachineId,
        ticket: Ticket,
        outcome: Outcome,
    ) -> Result<(), StaleTicket> {
        self.task_ends(id, ticket);
        self.at_pool(now, id, |permits, gate, wakes| {
            permits.release(now, ticket, outcome, gate, wakes)
        })
        .unwrap_or(Err(StaleTicket))
    }

    /// Whether the next plain task of a pool would start at once: see [`Permits::lets_pass`]. Never where rates, a breaker or an
    /// adaptive size have a say.
    pub fn pool_lets_pass(&self, id: MachineId) -> bool {
        self.pools.get(id).is_some_and(|pool| {
            pool.rate.is_none()
                && pool.breaker.is_none()
                && pool.adaptive.is_none()
                && pool.permits.lets_pass()
        })
    }

    /// Counts those who were let pass: see [`Permits::passed`].
    pub fn pool_passed(&mut self, id: MachineId, tasks: u64) {
        if let Some(pool) = self.pools.get_mut(id) {
            pool.permits.passed(tasks);
        }
    }

    /// Leaves the queue or the slots: see [`Permits::cancel`].
    pub fn pool_cancel(&mut self, now: Instant, id: MachineId, ticket: Ticket) -> Result<(), StaleTicket> {
        self.task_leaves(id, ticket);
        self.at_pool_rarely(now, id, |permits, gate, wakes| {
            permits.cancel(now, ticket, gate, wakes)
        })
        .unwrap_or(Err(StaleTicket))
    }

    /// Moves the end of a lease: see [`Permits::renew`].
    pub fn pool_renew(
        &mut self,
        now: Instant,
        id: MachineId,
        ticket: Ticket,
        run_for: u64,
    ) -> Result<Instant, StaleTicket> {
        self.at_pool_rarely(now, id, |permits, _, _| permits.renew(now, ticket, run_for))
            .unwrap_or(Err(StaleTicket))
    }

    /// Changes the number of slots: see [`Permits::resize`].
    pub fn pool_resize(&mut self, now: Instant, id: MachineId, concurrency: u32) {
        self.at_pool_rarely(now, id, |permits, gate, wakes| {
            permits.resize(now, concurrency, gate, wakes)
        });
        self.pool_was_resized(now, id);
    }

    /// Grants nothing until [`pool_resume`](Self::pool_resume).
    pub fn pool_pause(&mut self, id: MachineId) {
        self.at_permits(id, Permits::pause);
    }

    /// Grants again.
    pub fn pool_resume(&mut self, now: Instant, id: MachineId) {
        self.at_pool_rarely(now, id, |permits, gate, wakes| permits.resume(now, gate, wakes));
    }

    /// Grants nothing before `until`: see [`Permits::cool_down`].
    pub fn pool_cool_down(&mut self, id: MachineId, until: Instant) {
        self.at_permits(id, |permits| permits.cool_down(until));
    }

    /// Stops the intake: see [`Permits::close`].
    pub fn pool_close(&mut self, now: Instant, id: MachineId, refuse_queue: bool, grace: u64) {
        self.at_pool_rarely(now, id, |permits, gate, wakes| {
            permits.close(now, refuse_queue, grace, gate, wakes)
        });
    }

    /// Counts a lease of the past as active: see [`Permits::adopt`].
    pub fn pool_adopt(&mut self, now: Instant, id: MachineId, ask: Ask) -> Option<Ticket> {
        self.at_pool_rarely(now, id, |permits, _, _| permits.adopt(now, ask))
            .flatten()
    }

    /// Counts every token as taken just now: after a trap the memory of what was taken is lost.
    pub fn pool_start_empty(&mut self, now: Instant, id: MachineId) {
        if let Some(rate) = self.pools.get_mut(id).and_then(|pool| pool.rate.as_mut()) {
            rate.start_empty(now);
        }
    }

    pub(super) fn pool_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_pool_rarely(now, id, |permits, gate, wakes| {
            permits.on_deadline(now, gate, wakes)
        });
    }

    /// Turns away everybody who waits at a pool.
    pub(super) fn refuse_queue_of(&mut self, id: MachineId, refusal: Refusal) {
        if let Some(pool) = self.pools.get_mut(id) {
            pool.permits.refuse_queue(refusal, self.wakes.of(id));
            self.timers.arm(id, pool.permits.next_deadline());
        }
    }

    fn unhang(&mut self, id: MachineId, breaker: Option<MachineId>) {
        let shared = breaker.and_then(|breaker| self.breakers.get_mut(breaker));
        if let Some(pools) = shared.map(|shared| &mut shared.pools)
            && let Some(at) = pools.iter().position(|pool| *pool == id)
        {
            pools.swap_remove(at);
        }
    }

    fn at_permits(&mut self, id: MachineId, call: impl FnOnce(&mut Permits)) {
        if let Some(pool) = self.pools.get_mut(id) {
            call(&mut pool.permits);
            self.timers.arm(id, pool.permits.next_deadline());
        }
    }

    /// A call that is not made for every task: all of them share one copy of [`at_pool`](Self::at_pool), since in wasm
    /// every copy is a download.
    fn at_pool_rarely<T>(
        &mut self,
        now: Instant,
        id: MachineId,
        call: impl FnOnce(&mut Permits, &mut PoolGate<'_>, &mut Wakes) -> T,
    ) -> Option<T> {
        let mut call = Some(call);
        let mut answer = None;
        self.with_pool(now, id, &mut |permits, gate, wakes| {
            answer = call.take().map(|call| call(permits, gate, wakes));
        });
        answer
    }

    #[inline(never)]
    fn with_pool(&mut self, now: Instant, id: MachineId, call: Call<'_>) {
        self.at_pool(now, id, call);
    }

    /// Every call of a pool that may reach its gate goes through here: its gate is put together, and what it changed in
    /// others is carried on.
    #[inline]
    fn at_pool<T>(
        &mut self,
        now: Instant,
        id: MachineId,
        call: impl FnOnce(&mut Permits, &mut PoolGate<'_>, &mut Wakes) -> T,
    ) -> Option<T> {
        let pool = self.pools.get_mut(id)?;
        let breaker = pool.breaker;
        let mut gate = PoolGate {
            rate: pool.rate.as_mut(),
            breaker: breaker
                .and_then(|id| self.breakers.get_mut(id))
                .map(|shared| &mut shared.breaker),
            random: &mut self.random,
            transitions: [None; 2],
            watched: pool.adaptive.as_ref().map(|_| Watched::before(&pool.permits)),
        };
        let result = call(&mut pool.permits, &mut gate, self.wakes.of(id));
        if breaker.is_none() && gate.watched.is_none() {
            self.timers.arm(id, pool.permits.next_deadline());
        } else {
            let (transitions, watched) = (gate.transitions, gate.watched);
            self.carry_on(now, id, transitions, watched);
        }
        self.break_deadlocks(now);
        Some(result)
    }

    /// What a call did to the breaker, and what it tells of the size that the pool should have.
    #[inline(never)]
    fn carry_on(&mut self, now: Instant, id: MachineId, transitions: Transitions, watched: Option<Watched>) {
        let Some(pool) = self.pools.get_mut(id) else {
            return;
        };
        let breaker = pool.breaker;
        let sample = watched.and_then(|watched| watched.sample(&pool.permits));
        let scaled = sample.and_then(|sample| pool.adaptive.as_mut()?.sample(now, sample));
        self.timers.arm(id, pool.permits.next_deadline());
        if let Some(breaker) = breaker {
            self.breaker_changed(now, breaker, transitions);
        }
        if let Some(scaled) = scaled {
            self.pool_resize(now, id, scaled.to);
            self.note_scale(id, scaled);
        }
    }
}

/// A call of one pool's permits, with what stands before them.
type Call<'a> = &'a mut dyn FnMut(&mut Permits, &mut PoolGate<'_>, &mut Wakes);
