use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn dropped(latency: u64) -> Sample {
    Sample {
        latency: Duration::from_micros(latency),
        in_flight: 10,
        queued: 0,
        queue_capacity: None,
        ending: Ending::Dropped,
    }
}

#[test]
fn drops_of_calls_that_began_before_the_last_drop_are_the_same_overload() {
    let mut rounds = Rounds::new(1, Duration::ZERO);
    let mut drop_at = |now, latency| rounds.add(now, 10.0, &dropped(latency));
    assert_eq!(drop_at(1_000, 100), Some(Verdict::Dropped));
    assert_eq!(drop_at(1_050, 100), None);
    assert_eq!(drop_at(1_099, 100), None);
    assert_eq!(drop_at(1_100, 100), Some(Verdict::Dropped));
}

/// Rounds that have learned how long calls take at rest, and then take twice as long for ten rounds.
fn slowed(least_limit: u32) -> Rounds {
    let mut rounds = Rounds::new(least_limit, Duration::ZERO);
    (0..20).for_each(|_| rounds.learn(1_000_f64.ln(), 100));
    (0..10).for_each(|_| rounds.learn(2_000_f64.ln(), 100));
    rounds
}

#[test]
fn calls_that_are_as_slow_at_half_the_concurrency_are_the_new_rest() {
    let mut rounds = slowed(1);
    assert!(rounds.rest < rounds.smooth);
    rounds.learn(2_000_f64.ln(), 51);
    assert!(rounds.rest < rounds.smooth, "51 of 100 are not half as many yet");
    rounds.learn(2_000_f64.ln(), 50);
    assert_eq!(rounds.rest, rounds.smooth);
}

#[test]
fn calls_that_are_twice_as_fast_at_half_the_concurrency_had_queued() {
    let mut rounds = slowed(1);
    (0..10).for_each(|_| rounds.learn(1_000_f64.ln(), 51));
    let rest = rounds.rest;
    rounds.learn(1_000_f64.ln(), 50);
    assert_eq!(rounds.rest, rest);
}

#[test]
fn calls_at_the_least_limit_are_at_rest_however_slow() {
    let mut rounds = slowed(60);
    rounds.learn(2_000_f64.ln(), 61);
    assert!(rounds.rest < rounds.smooth);
    rounds.learn(2_000_f64.ln(), 60);
    assert_eq!(rounds.rest, rounds.smooth);
}

#[test]
fn the_first_rounds_are_averaged() {
    let mut rounds = Rounds::new(1, Duration::ZERO);
    [1.0, 2.0, 6.0].into_iter().for_each(|log| rounds.learn(log, 10));
    assert!((rounds.smooth - 3.0).abs() < 1e-9, "{}", rounds.smooth);
    assert!((rounds.quick - 3.3).abs() < 1e-9, "{}", rounds.quick);
    assert_eq!(rounds.rest, rounds.smooth);
}

#[test]
fn a_round_is_over_at_t_and_not_before() {
    let mut rounds = Rounds::new(1, Duration::from_micros(100));
    let fast = Sample {
        ending: Ending::Done,
        ..dropped(7)
    };
    let mut end_at = |now| rounds.add(now, 1.0, &fast);
    assert_eq!([0; 20].map(&mut end_at), [None; 20]);
    assert_eq!(end_at(99), None);
    assert_eq!(end_at(100), Some(Verdict::Unknown));
}
