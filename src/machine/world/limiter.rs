//! Limiters in a world: rates that are waited for without a pool.

use super::{Kind, World};
use crate::machine::limiter::{Limited, Limiter};
use crate::machine::rate::RateConfig;
use crate::machine::ticket::{StaleTicket, Ticket};
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Refusal, Wakes};
use core::time::Duration;

impl World {
    /// Makes a limiter. `None` when there are 2^24 already.
    pub fn open_limiter(&mut self, rules: impl IntoIterator<Item = RateConfig>) -> Option<MachineId> {
        self.in_time(Kind::Limiter, Self::limiter_on_deadline);
        self.limiters.insert(Limiter::new(rules))
    }

    /// Forgets a limiter; its waiters are not woken.
    pub fn drop_limiter(&mut self, id: MachineId) {
        self.limiters.remove(id);
        self.timers.arm(id, None);
    }

    /// A limiter, to look at.
    pub fn limiter(&self, id: MachineId) -> Option<&Limiter> {
        self.limiters.get(id)
    }

    /// Asks for tokens: see [`Limiter::request`].
    pub fn limiter_request(
        &mut self,
        now: Instant,
        id: MachineId,
        cost: u32,
        patience: Option<Duration>,
    ) -> Limited {
        self.at_limiter(id, |limiter, wakes| limiter.request(now, cost, patience, wakes))
            .unwrap_or(Limited::Refused(Refusal::Closed))
    }

    /// Leaves the line: see [`Limiter::cancel`].
    ///
    /// # Errors
    /// If it was served, refused or cancelled before.
    pub fn limiter_cancel(&mut self, now: Instant, id: MachineId, ticket: Ticket) -> Result<(), StaleTicket> {
        self.at_limiter(id, |limiter, wakes| limiter.cancel(now, ticket, wakes))
            .unwrap_or(Err(StaleTicket))
    }

    /// Gives back what was taken at `taken_at` for something that never began.
    pub fn limiter_refund(&mut self, now: Instant, id: MachineId, taken_at: Instant, cost: u32) {
        self.at_limiter(id, |limiter, wakes| limiter.refund(now, taken_at, cost, wakes));
    }

    /// Serves nobody before `until`.
    pub fn limiter_cool_down(&mut self, now: Instant, id: MachineId, until: Instant) {
        self.at_limiter(id, |limiter, _| limiter.cool_down(now, until));
    }

    /// Counts everything as taken just now.
    pub fn limiter_start_empty(&mut self, now: Instant, id: MachineId) {
        self.at_limiter(id, |limiter, _| limiter.start_empty(now));
    }

    /// Refuses everybody in line and whoever comes from now on.
    pub fn limiter_close(&mut self, id: MachineId) {
        self.at_limiter(id, |limiter, wakes| limiter.close(wakes));
    }

    pub(super) fn limiter_on_deadline(&mut self, now: Instant, id: MachineId) {
        self.at_limiter(id, |limiter, wakes| limiter.on_deadline(now, wakes));
    }

    fn at_limiter<T>(
        &mut self,
        id: MachineId,
        call: impl FnOnce(&mut Limiter, &mut Wakes) -> T,
    ) -> Option<T> {
        let limiter = self.limiters.get_mut(id)?;
        let result = call(limiter, self.wakes.of(id));
        self.timers.arm(id, limiter.next_deadline());
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::wakes::Why;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_world_asks_to_be_called_when_the_next_in_line_can_pass() {
        let mut world = World::new(1);
        let now = Instant::from_micros(1_000_000);
        let rule = RateConfig::token_bucket(1, Duration::from_secs(1), None).unwrap();
        let id = world.open_limiter([rule]).unwrap();
        assert_eq!(world.limiter_request(now, id, 1, None), Limited::Passed);
        let Limited::Waiting(ticket) = world.limiter_request(now, id, 1, None) else {
            panic!()
        };
        let then = now + Duration::from_secs(1);
        assert_eq!(world.next_deadline(), Some(then));
        world.on_deadline(then);
        let wake = world.wake().unwrap();
        assert_eq!((wake.machine, wake.ticket, wake.why), (id, ticket, Why::Granted));
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn a_limiter_in_a_world_does_what_it_does_alone_and_keeps_the_timer_right() {
        let mut world = World::new(1);
        let now = Instant::from_micros(1_000_000);
        let then = |seconds| now + Duration::from_secs(seconds);
        let rule = RateConfig::token_bucket(2, Duration::from_secs(2), None).unwrap();
        let id = world.open_limiter([rule]).unwrap();
        assert_eq!(world.limiter_request(now, id, 2, None), Limited::Passed);
        let Limited::Waiting(ticket) = world.limiter_request(now, id, 1, None) else {
            panic!()
        };
        assert_eq!(world.next_deadline(), Some(then(1)));
        assert_eq!(world.limiter(id).map(Limiter::waiting), Some(1));
        assert_eq!(world.limiter_cancel(now, id, ticket), Ok(()));
        assert_eq!(world.limiter_cancel(now, id, ticket), Err(StaleTicket));
        assert_eq!(world.next_deadline(), None);
        // What never began gives its tokens back, and whoever waits for them passes.
        let Limited::Waiting(ticket) = world.limiter_request(now, id, 1, None) else {
            panic!()
        };
        world.limiter_refund(now, id, now, 2);
        let wake = world.wake().unwrap();
        assert_eq!((wake.machine, wake.ticket, wake.why), (id, ticket, Why::Granted));
        assert_eq!(world.limiter_request(now, id, 1, None), Limited::Passed);
        // Nobody passes while it cools down.
        world.limiter_cool_down(now, id, then(9));
        world.limiter_request(now, id, 1, None);
        assert_eq!(world.next_deadline(), Some(then(9)));
        world.limiter_close(id);
        assert_eq!(
            world.wake().map(|wake| wake.why),
            Some(Why::Refused(Refusal::Closed))
        );
        assert_eq!(
            world.limiter_request(then(9), id, 1, None),
            Limited::Refused(Refusal::Closed)
        );
        assert_eq!(world.next_deadline(), None);
    }

    #[test]
    fn one_that_starts_empty_has_no_tokens_and_one_that_is_dropped_wakes_nobody() {
        let mut world = World::new(1);
        let now = Instant::from_micros(1_000_000);
        let rule = RateConfig::token_bucket(1, Duration::from_secs(1), None).unwrap();
        let id = world.open_limiter([rule]).unwrap();
        world.limiter_start_empty(now, id);
        let Limited::Waiting(ticket) = world.limiter_request(now, id, 1, None) else {
            panic!()
        };
        assert_eq!(world.next_deadline(), Some(now + Duration::from_secs(1)));
        world.drop_limiter(id);
        assert_eq!(world.next_deadline(), None);
        assert!(world.limiter(id).is_none() && world.wake().is_none());
        assert_eq!(world.limiter_cancel(now, id, ticket), Err(StaleTicket));
        assert_eq!(
            world.limiter_request(now, id, 1, None),
            Limited::Refused(Refusal::Closed)
        );
    }
}
