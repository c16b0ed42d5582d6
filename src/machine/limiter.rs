//! Waiting for a rate: those who ask for more than there is stand in line.

use super::line::Line;
use super::rate::{Rate, RateConfig, Verdict};
use super::ticket::{Slab, StaleTicket, Ticket};
use super::time::Instant;
use super::wakes::{Refusal, Wakes, Why};
use core::time::Duration;

/// A rate with a line in front of it.
///
/// First come, first served: who asks for much is not overtaken by those who ask for little, so it cannot starve.
/// Nobody waits in vain: who could not be served within its patience, reckoning with all before it, is refused at once.
#[derive(Clone, Debug)]
pub struct Limiter {
    rate: Rate,
    line: Line<Ticket>,
    timeouts: Line<Ticket>,
    waiters: Slab<Waiter>,
    queued_cost: u64,
    next: Option<Instant>,
    closed: bool,
    counts: LimiterCounts,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    cost: u32,
    deadline: Option<Instant>,
}

/// What a limiter says to a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Limited {
    /// It may begin; the tokens are taken.
    Passed,
    /// It waits in line: a wake will tell.
    Waiting(Ticket),
    /// It may not.
    Refused(Refusal),
}

/// What a limiter has seen. Each request ends as one of allowed, denied, cancelled, or is still waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimiterCounts {
    /// Who asked.
    pub requests: u64,
    /// Who may or might begin, at once or after waiting.
    pub allowed: u64,
    /// Who was refused, at once or after waiting.
    pub denied: u64,
    /// Who left the line by itself.
    pub cancelled: u64,
    /// Who had to stand in line, however it ended.
    pub waited: u64,
}

impl Limiter {
    /// A limiter with these rules and nobody in line.
    pub fn new(rules: impl IntoIterator<Item = RateConfig>) -> Self {
        Self {
            rate: Rate::new(rules),
            line: Line::new(),
            timeouts: Line::new(),
            waiters: Slab::new(),
            queued_cost: 0,
            next: None,
            closed: false,
            counts: LimiterCounts::default(),
        }
    }

    /// Asks for `cost` tokens, to be had within `patience`: `None` waits as long as it takes, nothing does not wait.
    pub fn request(
        &mut self,
        now: Instant,
        cost: u32,
        patience: Option<Duration>,
        wakes: &mut Wakes,
    ) -> Limited {
        self.counts.requests += 1;
        self.on_deadline(now, wakes);
        let answer = self.answer(now, cost, patience);
        match answer {
            Limited::Passed => self.counts.allowed += 1,
            Limited::Waiting(_) => self.counts.waited += 1,
            Limited::Refused(_) => self.counts.denied += 1,
        }
        self.refresh(now);
        answer
    }

    /// Leaves the line.
    ///
    /// # Errors
    /// If it was served, refused or cancelled before.
    pub fn cancel(&mut self, now: Instant, ticket: Ticket, wakes: &mut Wakes) -> Result<(), StaleTicket> {
        self.leave(ticket).ok_or(StaleTicket)?;
        self.counts.cancelled += 1;
        self.on_deadline(now, wakes);
        Ok(())
    }

    /// Gives back what was taken at `taken_at` for something that never began.
    pub fn refund(&mut self, now: Instant, taken_at: Instant, cost: u32, wakes: &mut Wakes) {
        self.rate.refund(now, taken_at, cost);
        self.on_deadline(now, wakes);
    }

    /// Serves nobody before `until`.
    pub fn cool_down(&mut self, now: Instant, until: Instant) {
        self.rate.cool_down(now, until);
        self.refresh(now);
    }

    /// Counts everything as taken just now: what to assume when the memory of what was taken is lost.
    pub fn start_empty(&mut self, now: Instant) {
        self.rate.start_empty(now);
        self.refresh(now);
    }

    /// Refuses everybody in line and whoever comes from now on.
    pub fn close(&mut self, wakes: &mut Wakes) {
        self.closed = true;
        let waiters = &self.waiters;
        while let Some((_, ticket)) = self.line.pop(|ticket| waiters.contains(ticket)) {
            self.counts.denied += 1;
            wakes.push(ticket, Why::Refused(Refusal::Closed));
        }
        self.waiters = Slab::new();
        self.timeouts = Line::new();
        self.queued_cost = 0;
        self.next = None;
    }

    /// When the first in line can be served or the first of them runs out of patience.
    pub const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Serves whom it can, in order, then refuses those whose time is over. Spurious calls do nothing.
    pub fn on_deadline(&mut self, now: Instant, wakes: &mut Wakes) {
        if self.waiters.is_empty() {
            self.next = None;
            return;
        }
        self.serve(now, wakes);
        while let Some(ticket) = self.first_out_of_patience(now) {
            let Some(waiter) = self.leave(ticket) else { break };
            self.counts.denied += 1;
            let retry_at = self
                .rate
                .ready_at(now, waiter.cost)
                .unwrap_or(Instant::FAR_FUTURE);
            wakes.push(ticket, Why::Refused(Refusal::RateLimited { retry_at }));
            // It may have stood before somebody who needs less.
            self.serve(now, wakes);
        }
        self.refresh(now);
    }

    /// How many stand in line.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// The most that may be taken at once now.
    pub fn available(&mut self, now: Instant) -> u32 {
        self.rate.available(now)
    }

    /// What it has seen.
    pub const fn counts(&self) -> &LimiterCounts {
        &self.counts
    }

    fn answer(&mut self, now: Instant, cost: u32, patience: Option<Duration>) -> Limited {
        if self.closed {
            return Limited::Refused(Refusal::Closed);
        }
        if self.waiters.is_empty() && self.rate.try_take(now, cost) == Verdict::Pass {
            return Limited::Passed;
        }
        let retry_at = match self.rate.ready_after(now, self.queued_cost, cost) {
            Verdict::Pass => now,
            Verdict::NotBefore(then) => then,
            Verdict::Never { limit } => return Limited::Refused(Refusal::NeverPossible { limit }),
        };
        let deadline = patience.map(|patience| now + patience);
        if deadline.is_some_and(|deadline| retry_at > deadline) || patience.is_some_and(|p| p.is_zero()) {
            return Limited::Refused(Refusal::RateLimited { retry_at });
        }
        let Ok(ticket) = self.waiters.insert(Waiter { cost, deadline }) else {
            let queued = self.waiters.len() as u32;
            return Limited::Refused(Refusal::QueueFull { queued });
        };
        self.line.push(0, ticket);
        if let Some(deadline) = deadline {
            self.timeouts.push(rank(deadline), ticket);
        }
        self.queued_cost = self.queued_cost.saturating_add(u64::from(cost));
        Limited::Waiting(ticket)
    }

    fn serve(&mut self, now: Instant, wakes: &mut Wakes) {
        while let Some((ticket, cost)) = self.first() {
            if self.rate.try_take(now, cost) != Verdict::Pass {
                break;
            }
            self.leave(ticket);
            self.counts.allowed += 1;
            wakes.push(ticket, Why::Granted);
        }
    }

    fn first(&mut self) -> Option<(Ticket, u32)> {
        let waiters = &self.waiters;
        let (_, ticket) = self.line.peek(|ticket| waiters.contains(ticket))?;
        Some((ticket, waiters.get(ticket)?.cost))
    }

    fn first_out_of_patience(&mut self, now: Instant) -> Option<Ticket> {
        let waiters = &self.waiters;
        let (deadline, ticket) = self.timeouts.peek(|ticket| waiters.contains(ticket))?;
        (deadline <= rank(now)).then_some(ticket)
    }

    fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(ticket)?;
        self.queued_cost = self.queued_cost.saturating_sub(u64::from(waiter.cost));
        let waiters = &self.waiters;
        self.line.left(|ticket| waiters.contains(ticket));
        if waiter.deadline.is_some() {
            self.timeouts.left(|ticket| waiters.contains(ticket));
        }
        Some(waiter)
    }

    fn refresh(&mut self, now: Instant) {
        let ready = match self.first() {
            Some((_, cost)) => self.rate.ready_at(now, cost),
            None => None,
        };
        let waiters = &self.waiters;
        let timeout = self.timeouts.peek(|ticket| waiters.contains(ticket));
        let timeout = timeout.map(|(deadline, _)| Instant::from_micros(deadline as u64));
        self.next = match (ready, timeout) {
            (Some(ready), Some(timeout)) => Some(ready.min(timeout)),
            (ready, timeout) => ready.or(timeout),
        };
    }
}

fn rank(deadline: Instant) -> i64 {
    i64::try_from(deadline.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    struct Scene {
        limiter: Limiter,
        wakes: Wakes,
    }

    impl Scene {
        fn ask(&mut self, now: u64, cost: u32, patience: Option<Duration>) -> Limited {
            self.limiter.request(at(now), cost, patience, &mut self.wakes)
        }

        fn wait(&mut self, now: u64, cost: u32, patience: Option<Duration>) -> Ticket {
            match self.ask(now, cost, patience) {
                Limited::Waiting(ticket) => ticket,
                other => panic!("{other:?}"),
            }
        }

        fn time(&mut self, now: u64) -> Vec<(Ticket, Why)> {
            self.limiter.on_deadline(at(now), &mut self.wakes);
            self.woken()
        }

        fn woken(&mut self) -> Vec<(Ticket, Why)> {
            std::iter::from_fn(|| self.wakes.pop())
                .map(|wake| (wake.ticket, wake.why))
                .collect()
        }
    }

    /// Ten a second, at most ten at once.
    fn ten_a_second() -> Scene {
        let rule = RateConfig::token_bucket(10, SECOND, None).unwrap();
        let (limiter, wakes) = (Limiter::new([rule]), Wakes::new());
        Scene { limiter, wakes }
    }

    fn drained() -> Scene {
        let mut scene = ten_a_second();
        assert_eq!(scene.ask(0, 10, None), Limited::Passed);
        scene
    }

    const fn denied(retry_at: Instant) -> Refusal {
        Refusal::RateLimited { retry_at }
    }

    #[test]
    fn who_finds_tokens_passes_at_once() {
        let mut scene = ten_a_second();
        assert_eq!(scene.ask(0, 10, ms(0)), Limited::Passed);
        assert_eq!(scene.ask(0, 1, ms(0)), Limited::Refused(denied(at(100))));
        assert_eq!(scene.limiter.next_deadline(), None);
    }

    #[test]
    fn what_is_available_is_what_passes_at_once() {
        let mut scene = ten_a_second();
        for (now, available) in [(0, 10), (0, 9), (0, 8), (50, 7), (100, 7)] {
            assert_eq!(scene.limiter.available(at(now)), available, "at {now}");
            assert_eq!(scene.ask(now, 1, ms(0)), Limited::Passed);
        }
        assert_eq!(scene.ask(100, 6, ms(0)), Limited::Passed);
        assert_eq!(scene.limiter.available(at(100)), 0);
        assert!(scene.ask(100, 1, ms(0)) != Limited::Passed);
    }

    #[test]
    fn denied_before_t_allowed_at_t() {
        let mut scene = drained();
        let waiter = scene.wait(0, 3, None);
        assert_eq!(scene.limiter.next_deadline(), Some(at(300)));
        assert_eq!(scene.time(299), []);
        assert_eq!(scene.time(300), [(waiter, Why::Granted)]);
        assert_eq!(scene.time(300), []);
        assert_eq!(scene.limiter.next_deadline(), None);
    }

    #[test]
    fn nobody_overtakes_though_there_would_be_tokens_for_less() {
        let mut scene = drained();
        let heavy = scene.wait(0, 10, None);
        let light = scene.wait(500, 1, None);
        assert_eq!(scene.ask(500, 1, ms(0)), Limited::Refused(denied(at(1200))));
        assert_eq!(scene.time(999), []);
        assert_eq!(scene.time(1000), [(heavy, Why::Granted)]);
        assert_eq!(scene.time(1100), [(light, Why::Granted)]);
    }

    #[test]
    fn who_cannot_be_served_within_its_patience_is_refused_at_once() {
        let mut scene = drained();
        scene.wait(0, 5, None);
        assert_eq!(scene.ask(0, 1, ms(599)), Limited::Refused(denied(at(600))));
        let patient = scene.wait(0, 1, ms(600));
        assert_eq!(scene.time(600).last(), Some(&(patient, Why::Granted)));
    }

    #[test]
    fn who_runs_out_of_patience_is_told_when_there_will_be_tokens() {
        let mut scene = drained();
        let waiter = scene.wait(0, 1, ms(400));
        scene.limiter.cool_down(at(50), at(900));
        assert_eq!(scene.limiter.next_deadline(), Some(at(400)));
        assert_eq!(scene.time(399), []);
        assert_eq!(scene.time(400), [(waiter, Why::Refused(denied(at(900))))]);
    }

    #[test]
    fn who_leaves_makes_room_for_those_behind() {
        let mut scene = drained();
        let heavy = scene.wait(0, 10, None);
        let light = scene.wait(0, 1, None);
        scene.limiter.cancel(at(200), heavy, &mut scene.wakes).unwrap();
        assert_eq!(scene.woken(), [(light, Why::Granted)]);
        let again = scene.limiter.cancel(at(200), heavy, &mut scene.wakes);
        assert_eq!(again, Err(StaleTicket));
        assert_eq!(
            scene.limiter.cancel(at(200), light, &mut scene.wakes),
            Err(StaleTicket)
        );
    }

    #[test]
    fn what_costs_more_than_there_can_be_is_refused_for_good() {
        let mut scene = ten_a_second();
        let never = Refusal::NeverPossible { limit: 10 };
        assert_eq!(scene.ask(0, 11, None), Limited::Refused(never));
    }

    #[test]
    fn a_refund_serves_those_who_wait() {
        let mut scene = drained();
        let waiter = scene.wait(0, 10, None);
        scene.limiter.refund(at(10), at(0), 10, &mut scene.wakes);
        assert_eq!(scene.woken(), [(waiter, Why::Granted)]);
    }

    #[test]
    fn what_is_started_empty_or_cooled_down_wakes_its_host_later() {
        let mut scene = drained();
        let waiter = scene.wait(0, 1, None);
        scene.limiter.start_empty(at(50));
        assert_eq!(scene.limiter.next_deadline(), Some(at(150)));
        scene.limiter.cool_down(at(60), at(200));
        assert_eq!(scene.limiter.next_deadline(), Some(at(200)));
        assert_eq!(scene.time(199), []);
        assert_eq!(scene.time(200), [(waiter, Why::Granted)]);
    }

    #[test]
    fn closing_refuses_everybody_once() {
        let mut scene = drained();
        let waiter = scene.wait(0, 1, ms(500));
        scene.limiter.close(&mut scene.wakes);
        assert_eq!(scene.woken(), [(waiter, Why::Refused(Refusal::Closed))]);
        assert_eq!(scene.limiter.next_deadline(), None);
        assert_eq!(scene.time(10_000), []);
        assert_eq!(scene.ask(10_000, 1, None), Limited::Refused(Refusal::Closed));
        assert_eq!(scene.limiter.counts().denied, 2);
    }

    #[test]
    fn it_counts_requests_allowed_denied_and_waited() {
        let mut scene = drained();
        scene.wait(0, 1, None);
        let leaves = scene.wait(0, 1, None);
        scene.limiter.cancel(at(0), leaves, &mut scene.wakes).unwrap();
        scene.ask(0, 1, ms(1));
        scene.time(100);
        let expected = LimiterCounts {
            requests: 4,
            allowed: 2,
            denied: 1,
            cancelled: 1,
            waited: 2,
        };
        assert_eq!(*scene.limiter.counts(), expected);
    }

    #[test]
    fn a_clock_set_back_starves_nobody() {
        let mut scene = ten_a_second();
        assert_eq!(scene.ask(3_600_000, 10, None), Limited::Passed);
        let waiter = scene.wait(5, 1, None);
        assert_eq!(scene.limiter.next_deadline(), Some(at(105)));
        assert_eq!(scene.time(105), [(waiter, Why::Granted)]);
    }

    proptest! {
        #[test]
        fn everybody_is_answered_once_and_in_order_whatever_the_clock_does(
            ops in prop::collection::vec((0u8..8, -300i64..700, 1u32..11, prop::option::of(0u64..3000)), 1..150),
        ) {
            let mut scene = ten_a_second();
            let (mut now, mut line) = (10_000i64, Vec::new());
            let woken = |scene: &mut Scene, line: &mut Vec<Ticket>| {
                for (ticket, why) in scene.woken() {
                    let place = line.iter().position(|waiting| *waiting == ticket);
                    let place = place.expect("nobody is answered twice");
                    line.remove(place);
                    if why == Why::Granted {
                        assert_eq!(place, 0, "nobody is overtaken");
                    }
                }
            };
            for (op, step, cost, patience) in ops {
                now = (now + step).max(0);
                let host = now as u64;
                match op {
                    0..=3 => {
                        let answer = scene.ask(host, cost, patience.map(Duration::from_millis));
                        woken(&mut scene, &mut line);
                        match answer {
                            Limited::Waiting(ticket) => line.push(ticket),
                            Limited::Passed => prop_assert!(line.is_empty()),
                            Limited::Refused(_) => {}
                        }
                    }
                    4 if !line.is_empty() => {
                        let ticket = line.remove(cost as usize % line.len());
                        scene.limiter.cancel(at(host), ticket, &mut scene.wakes).unwrap();
                    }
                    5 => scene.limiter.cool_down(at(host), at(host + u64::from(cost) * 50)),
                    _ => scene.limiter.on_deadline(at(host), &mut scene.wakes),
                }
                woken(&mut scene, &mut line);
                prop_assert_eq!(scene.limiter.waiting(), line.len());
                prop_assert_eq!(scene.limiter.next_deadline().is_some(), !line.is_empty());
            }
            // Whoever only follows the deadlines serves everybody.
            let mut host = at(now as u64);
            for _ in 0..500 {
                let Some(next) = scene.limiter.next_deadline() else { break };
                host = host.max(next);
                scene.limiter.on_deadline(host, &mut scene.wakes);
            }
            woken(&mut scene, &mut line);
            prop_assert!(line.is_empty());
            let counts = scene.limiter.counts();
            prop_assert_eq!(counts.requests, counts.allowed + counts.denied + counts.cancelled);
        }
    }
}
