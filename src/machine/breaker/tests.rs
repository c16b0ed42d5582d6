use super::*;
use crate::machine::backoff::{Backoff, Jitter};
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FAST: Duration = Duration::from_millis(1);
const OPENED: Option<Transition> = Some(Transition {
    from: BreakerState::Closed,
    to: BreakerState::Open,
});
const REOPENED: Option<Transition> = Some(Transition {
    from: BreakerState::HalfOpen,
    to: BreakerState::Open,
});
const CLOSED: Option<Transition> = Some(Transition {
    from: BreakerState::HalfOpen,
    to: BreakerState::Closed,
});

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A breaker at a time, so that a test reads as what happens.
struct Scene {
    breaker: Breaker,
    now: u64,
    random: Random,
}

fn scene(config: BreakerConfig) -> Scene {
    Scene {
        breaker: Breaker::new(config),
        now: 1_000_000,
        random: Random::new(1),
    }
}

fn one_second() -> BreakerConfig {
    BreakerConfig::default().open_for(ms(1000)).unwrap()
}

impl Scene {
    fn later(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self
    }

    fn admit(&mut self) -> Result<Pass, Refusal> {
        self.breaker.admit(at(self.now))
    }

    fn end(&mut self, pass: Pass, outcome: Outcome) -> Option<Transition> {
        self.breaker
            .record(at(self.now), pass, outcome, FAST, &mut self.random)
    }

    fn call(&mut self, outcome: Outcome) -> Option<Transition> {
        let pass = self.admit().unwrap();
        self.end(pass, outcome)
    }

    fn slow(&mut self, took: Duration) -> Option<Transition> {
        let pass = self.admit().unwrap();
        self.breaker
            .record(at(self.now), pass, Outcome::Success, took, &mut self.random)
    }

    fn fail(&mut self, times: usize) -> Option<Transition> {
        (0..times).map(|_| self.call(Outcome::Failure)).last().flatten()
    }

    fn state(&mut self) -> BreakerState {
        self.breaker.state(at(self.now))
    }
}

#[test]
fn five_failures_in_a_row_open_it_for_sixty_seconds() {
    let mut scene = scene(BreakerConfig::default());
    assert_eq!(scene.fail(4), None);
    assert_eq!(scene.call(Outcome::Failure), OPENED);
    let retry_at = Some(at(scene.now + 60_000));
    assert_eq!(scene.admit(), Err(Refusal::BrokenCircuit { retry_at }));
    assert_eq!(scene.breaker.next_deadline(), retry_at);
    scene.later(59_999);
    assert_eq!(
        scene.breaker.refuse(at(scene.now)),
        Some(Refusal::BrokenCircuit { retry_at })
    );
    scene.later(1);
    assert_eq!(scene.breaker.refuse(at(scene.now)), None);
    assert_eq!(scene.state(), BreakerState::HalfOpen);
    assert_eq!(scene.call(Outcome::Success), CLOSED);
}

#[test]
fn any_success_resets_the_count() {
    let mut scene = scene(BreakerConfig::default());
    for _ in 0..10 {
        assert_eq!(scene.fail(4), None);
        scene.call(Outcome::Success);
    }
    assert_eq!(scene.state(), BreakerState::Closed);
}

#[test]
fn what_says_nothing_about_the_target_does_not_count() {
    let mut scene = scene(BreakerConfig::default());
    scene.fail(4);
    scene.call(Outcome::Ignored);
    scene.call(Outcome::NeverStarted);
    assert_eq!(scene.breaker.snapshot(at(scene.now)).consecutive, 4);
    assert_eq!(scene.fail(1), OPENED);
}

#[test]
fn the_change_to_half_open_is_told_once() {
    let mut scene = scene(one_second());
    scene.fail(5);
    scene.later(1000);
    let told = scene.breaker.on_deadline(at(scene.now)).unwrap();
    assert_eq!((told.from, told.to), (BreakerState::Open, BreakerState::HalfOpen));
    assert_eq!(scene.breaker.on_deadline(at(scene.now)), None);
    assert_eq!(scene.breaker.next_deadline(), None);
}

#[test]
fn half_open_lets_no_more_than_its_probes_out_at_once() {
    let mut scene = scene(one_second().half_open(3, 5, Duration::ZERO).unwrap());
    scene.fail(5);
    scene.later(1000);
    let probes: Vec<_> = (0..20).filter_map(|_| scene.admit().ok()).collect();
    assert_eq!(probes.len(), 3);
    let retry_at = Some(at(scene.now + 1000));
    assert_eq!(scene.admit(), Err(Refusal::BrokenCircuit { retry_at }));
    assert_eq!(scene.end(probes[0], Outcome::Success), None);
    assert!(scene.admit().is_ok(), "a probe that returned makes room for one");
    assert!(scene.admit().is_err());
}

#[test]
fn a_success_of_a_probe_does_not_let_the_crowd_through() {
    let mut scene = scene(one_second().half_open(2, 2, Duration::ZERO).unwrap());
    scene.fail(5);
    scene.later(1000);
    let first = scene.admit().unwrap();
    let second = scene.admit().unwrap();
    scene.end(first, Outcome::Success);
    assert!(
        (0..20).all(|_| scene.admit().is_err()),
        "the second probe will decide"
    );
    assert_eq!(scene.end(second, Outcome::Success), CLOSED);
}

#[test]
fn of_five_probes_with_three_to_succeed_two_may_fail() {
    let config = one_second().half_open(5, 3, Duration::ZERO).unwrap();
    for (outcomes, end) in [
        ("ffsss", CLOSED),
        ("sfsfs", CLOSED),
        ("ssff f", REOPENED),
        ("fff", REOPENED),
    ] {
        let mut scene = scene(config);
        scene.fail(5);
        scene.later(1000);
        let outcomes: Vec<_> = outcomes.chars().filter(|c| *c != ' ').collect();
        let mut last = None;
        for outcome in &outcomes {
            assert_eq!(last, None);
            last = scene.call(if *outcome == 's' {
                Outcome::Success
            } else {
                Outcome::Failure
            });
        }
        assert_eq!(last, end, "{outcomes:?}");
    }
}

#[test]
fn with_more_successes_than_probes_one_failure_reopens() {
    let mut scene = scene(one_second().half_open(1, 3, Duration::ZERO).unwrap());
    scene.fail(5);
    scene.later(1000);
    scene.call(Outcome::Success);
    scene.call(Outcome::Success);
    assert_eq!(scene.call(Outcome::Failure), REOPENED);
    scene.later(1000);
    scene.call(Outcome::Success);
    scene.call(Outcome::Success);
    assert_eq!(scene.call(Outcome::Success), CLOSED);
}

#[test]
fn a_cancelled_probe_returns_its_permit_unjudged() {
    let mut scene = scene(one_second());
    scene.fail(5);
    scene.later(1000);
    for outcome in [Outcome::Ignored, Outcome::NeverStarted] {
        let probe = scene.admit().unwrap();
        assert!(scene.admit().is_err());
        assert_eq!(scene.end(probe, outcome), None);
        assert_eq!(scene.state(), BreakerState::HalfOpen);
    }
    assert_eq!(scene.call(Outcome::Success), CLOSED);
}

#[test]
fn a_probe_that_is_lost_for_ever_wedges_nothing() {
    let mut scene = scene(one_second());
    scene.fail(5);
    scene.later(1000);
    let lost = scene.admit().unwrap();
    scene.later(999);
    assert!(scene.admit().is_err());
    scene.later(1);
    let next = scene.admit().unwrap();
    assert_eq!(
        scene.end(lost, Outcome::Failure),
        None,
        "its permit has passed on: it is not heard"
    );
    assert!(scene.admit().is_err(), "and gives no second permit back");
    assert_eq!(scene.end(next, Outcome::Success), CLOSED);
}

#[test]
fn a_probe_may_be_given_its_own_time() {
    let mut scene = scene(one_second().probe_timeout(ms(10)).unwrap());
    scene.fail(5);
    scene.later(1000);
    scene.admit().unwrap();
    assert!(scene.later(9).admit().is_err());
    assert!(scene.later(1).admit().is_ok());
}

#[test]
fn outcomes_from_before_the_last_change_never_count() {
    let mut scene = scene(one_second());
    let stale: Vec<_> = (0..10).map(|_| scene.admit().unwrap()).collect();
    scene.fail(5);
    scene.later(1000);
    let probe = scene.admit().unwrap();
    assert_eq!(scene.end(stale[0], Outcome::Success), None);
    assert_eq!(scene.end(stale[1], Outcome::Failure), None);
    assert_eq!(scene.end(probe, Outcome::Success), CLOSED);
    for pass in &stale[2..] {
        assert_eq!(scene.end(*pass, Outcome::Failure), None);
    }
    assert_eq!(
        scene.end(probe, Outcome::Failure),
        None,
        "a pass is good for one outcome"
    );
    assert_eq!(scene.breaker.snapshot(at(scene.now)).consecutive, 0);
}

#[test]
fn a_ratio_opens_it_once_there_is_the_minimum_of_calls() {
    let config = one_second().ratio(0.5, Window::Count(10), 4).unwrap();
    let mut scene = scene(config);
    assert_eq!(scene.fail(3), None, "three of three, but four are the minimum");
    assert_eq!(scene.call(Outcome::Success), OPENED, "three of four");
}

#[test]
fn a_ratio_over_time_forgets_what_is_old() {
    let config = one_second().ratio(0.5, Window::Time(ms(1000)), 4).unwrap();
    let mut scene = scene(config);
    scene.fail(3);
    scene.later(1001);
    assert_eq!(scene.fail(3), None);
    assert_eq!(scene.later(500).call(Outcome::Failure), OPENED);
}

#[test]
fn a_ratio_rule_alone_does_not_bring_the_consecutive_rule() {
    let mut scene = scene(one_second().ratio(1.0, Window::Count(100), 50).unwrap());
    assert_eq!(scene.fail(49), None);
    assert_eq!(scene.fail(1), OPENED);
}

#[test]
fn slow_calls_open_it_though_they_succeed() {
    let mut scene = scene(one_second().slow(ms(100), 0.5).unwrap());
    (0..5).for_each(|_| assert_eq!(scene.slow(ms(100)), None, "100 ms are not over 100 ms"));
    (0..4).for_each(|_| assert_eq!(scene.slow(ms(101)), None));
    assert_eq!(scene.slow(ms(101)), OPENED, "five of ten");
    scene.later(1000);
    assert_eq!(
        scene.slow(ms(101)),
        REOPENED,
        "a slow probe proves that it is still slow"
    );
    scene.later(1000);
    assert_eq!(scene.slow(ms(99)), CLOSED);
}

#[test]
fn it_stays_open_longer_each_time_the_probes_fail() {
    let backoff = Backoff::new(ms(1000), ms(5000), 2.0, Jitter::None).unwrap();
    let mut scene = scene(BreakerConfig::default().open_for_growing(backoff).unwrap());
    scene.fail(5);
    for stay in [1000, 2000, 4000, 5000, 5000] {
        assert_eq!(scene.breaker.next_deadline(), Some(at(scene.now + stay)));
        scene.later(stay);
        assert_eq!(scene.fail(1), REOPENED);
    }
    scene.later(5000);
    assert_eq!(scene.call(Outcome::Success), CLOSED);
    scene.fail(5);
    assert_eq!(
        scene.breaker.next_deadline(),
        Some(at(scene.now + 1000)),
        "it recovered between"
    );
}

#[test]
fn after_closing_a_growing_share_is_admitted() {
    let mut scene = scene(one_second().half_open(1, 1, ms(10_000)).unwrap());
    scene.fail(5);
    scene.later(1000);
    scene.call(Outcome::Success);
    let mut admitted = Vec::new();
    for _ in 0..10 {
        let calls = (0..100).filter(|_| scene.later(10).admit().is_ok()).count();
        admitted.push(calls);
    }
    assert!(admitted.windows(2).all(|pair| pair[0] < pair[1]), "{admitted:?}");
    assert!(admitted[0] <= 7 && admitted[9] >= 93, "{admitted:?}");
    assert!((0..100).all(|_| scene.admit().is_ok()));
}

#[test]
fn whom_the_ramp_turns_away_is_told_when_to_come_back() {
    let mut scene = scene(one_second().half_open(1, 1, ms(10_000)).unwrap());
    scene.fail(5);
    scene.later(1000);
    scene.call(Outcome::Success);
    assert_eq!(
        scene.breaker.refuse(at(scene.now)),
        None,
        "the ramp does not judge arrivals"
    );
    assert!(scene.admit().is_ok());
    scene.later(2000);
    let Err(Refusal::BrokenCircuit {
        retry_at: Some(retry_at),
    }) = scene.admit()
    else {
        panic!()
    };
    assert!(scene.breaker.admit(retry_at).is_ok());
}

#[test]
fn reopening_while_it_ramps_up_still_counts_as_once_more() {
    let backoff = Backoff::new(ms(1000), ms(60_000), 2.0, Jitter::None).unwrap();
    let config = BreakerConfig::default().open_for_growing(backoff).unwrap();
    let mut scene = scene(config.half_open(1, 1, ms(100)).unwrap());
    scene.fail(5);
    scene.later(1000);
    scene.call(Outcome::Success);
    while scene.state() == BreakerState::Closed {
        if let Ok(pass) = scene.later(1).admit() {
            scene.end(pass, Outcome::Failure);
        }
    }
    assert_eq!(scene.breaker.next_deadline(), Some(at(scene.now + 2000)));
}

#[test]
fn isolated_it_stays_until_it_is_lifted_as_often() {
    let mut scene = scene(one_second());
    let before = scene.admit().unwrap();
    assert!(scene.breaker.isolate(at(scene.now)).is_some());
    assert!(scene.breaker.isolate(at(scene.now)).is_none());
    scene.later(1_000_000);
    assert_eq!(scene.admit(), Err(Refusal::BrokenCircuit { retry_at: None }));
    assert_eq!(scene.end(before, Outcome::Success), None);
    assert_eq!(scene.breaker.lift(at(scene.now)), None);
    assert_eq!(scene.state(), BreakerState::Isolated);
    let lifted = scene.breaker.lift(at(scene.now)).unwrap();
    assert_eq!(
        (lifted.from, lifted.to),
        (BreakerState::Isolated, BreakerState::Closed)
    );
    assert_eq!(scene.breaker.lift(at(scene.now)), None);
    assert!(scene.admit().is_ok());
}

#[test]
fn a_snapshot_brings_back_the_state_and_the_time_that_was_left() {
    let mut scene = scene(one_second());
    scene.fail(5);
    scene.later(400);
    let snapshot = scene.breaker.snapshot(at(scene.now));
    assert_eq!((snapshot.state, snapshot.open_for), (BreakerState::Open, ms(600)));
    // Another process, whose clock started at another time.
    let mut breaker = Breaker::restore(one_second(), snapshot, at(7));
    assert_eq!(breaker.next_deadline(), Some(at(607)));
    assert_eq!(breaker.state(at(607)), BreakerState::HalfOpen);
    let half_open = breaker.snapshot(at(607));
    assert_eq!(
        Breaker::restore(one_second(), half_open, at(0)).state(at(0)),
        BreakerState::HalfOpen
    );
    assert_eq!(half_open.openings, 1);

    let mut scene = self::scene(one_second());
    scene.fail(4);
    let snapshot = scene.breaker.snapshot(at(scene.now));
    scene.breaker = Breaker::restore(one_second(), snapshot, at(scene.now));
    assert_eq!(scene.fail(1), OPENED);

    scene.breaker.isolate(at(scene.now));
    let snapshot = scene.breaker.snapshot(at(scene.now));
    let mut isolated = Breaker::restore(one_second(), snapshot, at(0));
    assert_eq!(isolated.state(at(9_999_999)), BreakerState::Isolated);
    assert!(isolated.lift(at(9_999_999)).is_some());
}

#[test]
fn a_frozen_clock_keeps_it_open_and_one_set_back_does_not_keep_it_open_for_ever() {
    let mut scene = scene(one_second());
    scene.fail(5);
    assert!((0..100).all(|_| scene.admit().is_err()));
    scene.now = 5;
    assert!(scene.admit().is_err());
    assert!(scene.later(999).admit().is_err());
    assert!(scene.later(1).admit().is_ok());
}

#[test]
fn eras_come_round_and_passes_still_tell_them_apart() {
    let mut scene = scene(one_second());
    scene.breaker.era = ERAS;
    let stale = scene.admit().unwrap();
    assert_eq!(scene.fail(5), OPENED);
    assert_eq!(scene.breaker.era, 0);
    scene.later(1000);
    assert_eq!(
        scene.end(stale, Outcome::Success).map(|change| change.to),
        Some(BreakerState::HalfOpen)
    );
    assert_eq!(scene.call(Outcome::Success), CLOSED);
}

#[test]
fn a_recovery_forgets_the_last_wait_too() {
    let backoff = Backoff::new(ms(1000), ms(1_000_000), 2.0, Jitter::Decorrelated).unwrap();
    let mut scene = scene(BreakerConfig::default().open_for_growing(backoff).unwrap());
    for _ in 0..50 {
        scene.fail(5);
        let stay = scene.breaker.next_deadline().unwrap() - at(scene.now);
        assert!(stay <= ms(3000), "{stay:?} is more than the first wait can be");
        scene.later(3000);
        scene.call(Outcome::Success);
    }
}

#[test]
fn it_counts_what_it_saw() {
    let mut scene = scene(one_second());
    scene.call(Outcome::Success);
    scene.call(Outcome::Ignored);
    scene.fail(5);
    scene.admit().unwrap_err();
    let expected = BreakerCounts {
        successes: 1,
        failures: 5,
        ignored: 1,
        refused: 1,
        opened: 1,
    };
    assert_eq!(*scene.breaker.counts(), expected);
}

proptest! {
    /// Against a model that knows only: what was admitted in which state, and what came of it since.
    #[test]
    fn never_more_probes_out_than_allowed_and_never_wedged(
        probes in 1u32..4, successes in 1u32..6, ramp in 0u64..300,
        ops in prop::collection::vec((0u8..8, 0u64..150, any::<u8>()), 1..300),
    ) {
        let config = BreakerConfig::default().consecutive(2).unwrap().open_for(ms(100)).unwrap()
            .half_open(probes, successes, ms(ramp)).unwrap();
        let mut scene = scene(config);
        let mut out: Vec<(Pass, BreakerState, u64)> = Vec::new();
        for (op, step, pick) in ops {
            scene.later(step);
            let before = scene.state();
            let changed = match op {
                0..=3 => {
                    let arrival = scene.breaker.refuse(at(scene.now));
                    let admitted = scene.admit();
                    prop_assert!(arrival.is_none() || admitted.is_err());
                    match admitted {
                        Ok(pass) => out.push((pass, before, scene.now)),
                        Err(Refusal::BrokenCircuit { retry_at }) => {
                            prop_assert!(retry_at.is_some_and(|retry_at| retry_at > at(scene.now)));
                        }
                        Err(_) => prop_assert!(false, "a breaker knows no other reason"),
                    }
                    None
                }
                _ if out.is_empty() => None,
                _ => {
                    let (pass, _, _) = out.swap_remove(pick as usize % out.len());
                    let outcome = [Outcome::Success, Outcome::Failure, Outcome::Failure, Outcome::Ignored];
                    scene.end(pass, outcome[op as usize - 4])
                }
            };
            let after = scene.state();
            match changed {
                Some(change) => {
                    prop_assert_eq!((change.from, change.to), (before, after));
                    for call in &mut out { call.1 = BreakerState::Isolated; }
                }
                None => prop_assert_eq!(before, after),
            }
            let probing = out.iter().filter(|(_, state, since)| *state == BreakerState::HalfOpen && since + 100 > scene.now);
            prop_assert!(probing.count() as u32 <= probes);
        }
        // Whatever happened, and if nothing is ever heard of again: it closes once the target works.
        scene.later(1000);
        for _ in 0..50 {
            scene.later(20);
            if let Ok(pass) = scene.admit() { scene.end(pass, Outcome::Success); }
        }
        prop_assert_eq!(scene.state(), BreakerState::Closed);
        prop_assert!(scene.later(ramp).admit().is_ok());
    }
}
