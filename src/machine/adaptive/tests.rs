//! Scenarios with accepted ranges, as Vector judges its adaptive concurrency; the traps are named after what other
//! limiters fell into.

use super::*;
use crate::machine::random::Random;
use crate::machine::time::micros;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SEEKING: [Algorithm; 3] = [Algorithm::Aimd, Algorithm::Gradient, Algorithm::Vegas];
const MEASURING: [Algorithm; 2] = [Algorithm::Gradient, Algorithm::Vegas];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn limit(algorithm: Algorithm, min: u32, max: u32, initial: u32) -> Adaptive {
    let config = AdaptiveConfig::new(algorithm, min, max).unwrap();
    Adaptive::new(config.initial(initial).unwrap())
}

fn sample(latency: Duration, in_flight: u32) -> Sample {
    Sample {
        latency,
        in_flight,
        queued: 0,
        queue_capacity: None,
        ending: Ending::Done,
    }
}

/// A target that serves `capacity` calls at once, each in `base`, and makes the others wait their turn; beyond
/// `breaking` it drops them.
struct Target {
    capacity: u32,
    base: Duration,
    breaking: u32,
    spread: Spread,
}

#[derive(Clone, Copy)]
enum Spread {
    None,
    /// From half to one and a half.
    Even,
    /// Nine of ten are a hundred times faster.
    Wide,
}

impl Target {
    fn of(capacity: u32) -> Self {
        Self {
            capacity,
            base: ms(100),
            breaking: u32::MAX,
            spread: Spread::None,
        }
    }
}

struct Scene {
    adaptive: Adaptive,
    target: Target,
    now: Instant,
    random: Random,
}

fn scene(adaptive: Adaptive, target: Target) -> Scene {
    let (now, random) = (Instant::from_micros(1_000_000), Random::new(7));
    Scene {
        adaptive,
        target,
        now,
        random,
    }
}

impl Scene {
    /// Round trips in which `demand` calls would like to run, as many as the limit allows do.
    fn run(&mut self, round_trips: u32, demand: u32) -> (u32, u32) {
        let (mut least, mut most) = (u32::MAX, 0);
        for _ in 0..round_trips {
            let running = demand.min(self.adaptive.limit());
            let waiting = f64::from(running) / f64::from(self.target.capacity);
            let latency = self.target.base.mul_f64(waiting.max(1.0));
            self.now = self.now + latency;
            for n in 0..running {
                let spread = match self.target.spread {
                    Spread::None => 1.0,
                    Spread::Even => 0.5 + self.random.unit(),
                    Spread::Wide if self.random.up_to(9) > 0 => 0.01,
                    Spread::Wide => 1.0,
                };
                let mut sample = sample(latency.mul_f64(spread), running);
                if n >= self.target.breaking {
                    sample.ending = Ending::Dropped;
                }
                self.adaptive.sample(self.now, sample);
            }
            least = least.min(self.adaptive.limit());
            most = most.max(self.adaptive.limit());
        }
        (least, most)
    }

    fn limit(&self) -> u32 {
        self.adaptive.limit()
    }
}

#[test]
fn aimd_finds_a_target_that_drops_what_it_cannot_take() {
    for initial in [1, 20, 200] {
        let mut scene = scene(
            limit(Algorithm::Aimd, 1, 200, initial),
            Target {
                breaking: 20,
                ..Target::of(100)
            },
        );
        scene.run(1000, u32::MAX);
        let (least, most) = scene.run(200, u32::MAX);
        assert!(least >= 16 && most <= 22, "{least}..{most}");
    }
}

#[test]
fn aimd_keeps_to_a_response_time() {
    let config = AdaptiveConfig::new(Algorithm::Aimd, 1, 200)
        .unwrap()
        .target(ms(150))
        .unwrap();
    let mut scene = scene(Adaptive::new(config), Target::of(20));
    scene.run(500, u32::MAX);
    let (least, most) = scene.run(200, u32::MAX);
    assert!(
        least >= 24 && most <= 32,
        "150 ms are 30 at once: {least}..{most}"
    );
}

#[test]
fn aimd_takes_one_overload_for_one() {
    let mut adaptive = limit(Algorithm::Aimd, 1, 100, 100);
    let dropped = Sample {
        ending: Ending::Dropped,
        ..sample(ms(100), 100)
    };
    for _ in 0..50 {
        adaptive.sample(Instant::from_micros(500_000), dropped);
    }
    assert_eq!(adaptive.limit(), 90);
    adaptive.sample(Instant::from_micros(600_000), dropped);
    assert_eq!(
        adaptive.limit(),
        81,
        "what began after the decrease tells of a new overload"
    );
}

#[test]
fn gradient_and_vegas_find_a_target_that_slows_down() {
    for algorithm in MEASURING {
        for (capacity, spread) in [
            (5, Spread::None),
            (20, Spread::None),
            (100, Spread::None),
            (20, Spread::Even),
        ] {
            let mut scene = scene(
                limit(algorithm, 1, 1000, 1),
                Target {
                    spread,
                    ..Target::of(capacity)
                },
            );
            scene.run(2000, u32::MAX);
            let (least, most) = scene.run(500, u32::MAX);
            let range = capacity * 8 / 10..=capacity * 2 + 10;
            assert!(
                range.contains(&least) && range.contains(&most),
                "{algorithm:?} {capacity}: {least}..{most}"
            );
        }
    }
}

#[test]
fn gradient_and_vegas_follow_a_target_that_becomes_slower_for_good() {
    for algorithm in MEASURING {
        let mut scene = scene(limit(algorithm, 1, 1000, 1), Target::of(50));
        scene.run(1000, u32::MAX);
        scene.target.base = ms(500);
        scene.run(1500, u32::MAX);
        assert!(
            (40..=110).contains(&scene.limit()),
            "{algorithm:?}: {}",
            scene.limit()
        );
    }
}

#[test]
fn all_follow_a_target_that_loses_and_regains_capacity() {
    for algorithm in MEASURING {
        let mut scene = scene(limit(algorithm, 1, 1000, 1), Target::of(100));
        scene.run(2000, u32::MAX);
        scene.target.capacity = 10;
        scene.run(2000, u32::MAX);
        assert!(
            (8..=30).contains(&scene.limit()),
            "{algorithm:?}: {}",
            scene.limit()
        );
        scene.target.capacity = 100;
        scene.run(2000, u32::MAX);
        assert!(
            (80..=210).contains(&scene.limit()),
            "{algorithm:?}: {}",
            scene.limit()
        );
    }
}

/// Netflix/concurrency-limits#165: under load that lasts, the average latency became the baseline and the limit grew
/// without end.
#[test]
fn trap_baseline_drifting_up() {
    for algorithm in MEASURING {
        let mut scene = scene(
            limit(algorithm, 1, 10_000, 1),
            Target {
                spread: Spread::Even,
                ..Target::of(20)
            },
        );
        scene.run(1000, u32::MAX);
        let (_, most) = scene.run(20_000, u32::MAX);
        assert!(most <= 50, "{algorithm:?}: {most}");
    }
}

/// Netflix/concurrency-limits#34: with calls of very different length the fastest was the baseline, and all others
/// looked like overload.
#[test]
fn trap_no_growth_under_wide_latency_spread() {
    for algorithm in MEASURING {
        let mut scene = scene(
            limit(algorithm, 1, 60, 1),
            Target {
                spread: Spread::Wide,
                ..Target::of(1000)
            },
        );
        scene.run(2000, u32::MAX);
        let (least, _) = scene.run(1000, u32::MAX);
        assert!(least >= 30, "{algorithm:?}: {least}");
    }
}

/// platinummonkey/go-concurrency-limits#117: after an overload the limit was 1 and stayed there.
#[test]
fn trap_stuck_at_one_after_load_ends() {
    for algorithm in SEEKING {
        let mut scene = scene(
            limit(algorithm, 1, 100, 50),
            Target {
                breaking: 0,
                ..Target::of(1000)
            },
        );
        scene.run(500, u32::MAX);
        assert_eq!(scene.limit(), 1, "{algorithm:?}");
        scene.target.breaking = u32::MAX;
        scene.run(2000, u32::MAX);
        assert!(scene.limit() >= 40, "{algorithm:?}: {}", scene.limit());
    }
}

/// The same trap by another way: a host that counts a call out before it reports says that 0 were in flight.
#[test]
fn trap_stuck_at_one_because_nothing_seems_in_flight() {
    for algorithm in SEEKING {
        let mut adaptive = limit(algorithm, 1, 100, 1);
        for n in 0..1000 {
            adaptive.sample(Instant::from_micros(n * 100_000), sample(ms(100), 0));
        }
        assert!(adaptive.limit() > 1, "{algorithm:?}");
    }
}

/// envoyproxy/envoy#8337: to measure the latency at rest the limit was cut down regularly, and callers turned away.
#[test]
fn trap_min_rtt_probe_causing_rejections() {
    for algorithm in MEASURING {
        let mut scene = scene(
            limit(algorithm, 1, 40, 1),
            Target {
                spread: Spread::Even,
                ..Target::of(100)
            },
        );
        scene.run(500, u32::MAX);
        let (least, _) = scene.run(20_000, u32::MAX);
        assert_eq!(
            least, 40,
            "{algorithm:?} turned somebody away though the target was at ease"
        );
    }
}

/// envoyproxy/envoy#14997: a window in which every call had failed gave an infinite latency at rest.
#[test]
fn trap_empty_window_giving_an_infinite_baseline() {
    for algorithm in MEASURING {
        let mut adaptive = limit(algorithm, 1, 100, 50);
        let mut now = Instant::from_micros(1_000_000);
        for ending in [Ending::Dropped, Ending::Failed, Ending::Dropped] {
            for _ in 0..100 {
                now = now + ms(100);
                adaptive.sample(
                    now,
                    Sample {
                        ending,
                        ..sample(ms(50), 50)
                    },
                );
            }
        }
        let mut scene = scene(adaptive, Target::of(20));
        scene.now = now;
        scene.run(2000, u32::MAX);
        assert!(
            (16..=50).contains(&scene.limit()),
            "{algorithm:?}: {}",
            scene.limit()
        );
    }
}

#[test]
fn trap_app_limited_samples_growing_the_limit() {
    for algorithm in SEEKING {
        let mut scene = scene(limit(algorithm, 1, 1000, 20), Target::of(1000));
        let (least, most) = scene.run(2000, 10);
        assert_eq!((least, most), (20, 20), "{algorithm:?}");
    }
}

#[test]
fn gradient_learns_for_five_rounds_and_then_grows_by_a_half_at_least() {
    let mut gradient = Gradient::new(1, Duration::ZERO);
    let (mut limit, mut grew_at) = (2.0, Vec::new());
    for n in 1..=100 {
        let next = gradient.sample(1000 * n, limit, &sample(ms(100), 8));
        if next > limit {
            assert!(next - limit >= 0.5, "{limit} to {next}");
            grew_at.push(n);
        }
        limit = next.min(4.0);
    }
    // Ten samples are a round.
    assert_eq!(grew_at, [50, 60, 70, 80, 90, 100]);
}

#[test]
fn trap_zero_latencies_moving_the_limit() {
    for algorithm in [
        Algorithm::Aimd,
        Algorithm::Gradient,
        Algorithm::Vegas,
        Algorithm::Threshold,
    ] {
        let mut adaptive = limit(algorithm, 1, 1000, 20);
        for n in 0..10_000 {
            for ending in [Ending::Done, Ending::Dropped] {
                let sample = Sample {
                    ending,
                    ..sample(Duration::ZERO, 20)
                };
                assert_eq!(adaptive.sample(Instant::from_micros(n * 10_000), sample), None);
            }
        }
        assert_eq!((adaptive.limit(), adaptive.changes()), (20, (0, 0)));
    }
}

#[test]
fn failures_that_are_not_overload_move_nothing() {
    for algorithm in SEEKING {
        let mut adaptive = limit(algorithm, 1, 1000, 20);
        for n in 0..1000 {
            let failed = Sample {
                ending: Ending::Failed,
                ..sample(ms(1), 20)
            };
            assert_eq!(adaptive.sample(Instant::from_micros(n * 10_000), failed), None);
        }
    }
}

#[test]
fn a_clock_that_stands_still_between_samples_does_no_harm() {
    for algorithm in SEEKING {
        let mut adaptive = limit(algorithm, 1, 100, 20);
        for _ in 0..1000 {
            adaptive.sample(Instant::from_micros(77), sample(ms(100), 20));
        }
        assert!((20..=100).contains(&adaptive.limit()));
    }
}

#[test]
fn a_ceiling_holds_until_it_is_lifted_and_never_below_the_minimum() {
    let mut adaptive = limit(Algorithm::Aimd, 3, 100, 50);
    assert_eq!(adaptive.set_ceiling(Some(10)), Some(Scaled { from: 50, to: 10 }));
    assert_eq!(adaptive.set_ceiling(Some(1)), Some(Scaled { from: 10, to: 3 }));
    assert_eq!(adaptive.set_ceiling(None), Some(Scaled { from: 3, to: 50 }));
    assert_eq!(adaptive.set_ceiling(Some(70)), None);
    assert_eq!(adaptive.changes(), (1, 2));
}

#[test]
fn a_dropped_call_takes_a_tenth_and_at_least_one() {
    for algorithm in SEEKING {
        let dropped = |in_flight| Sample {
            ending: Ending::Dropped,
            ..sample(ms(1), in_flight)
        };
        for (before, after) in [(50, 45), (5, 4), (1, 1)] {
            let mut adaptive = limit(algorithm, 1, 100, before);
            adaptive.sample(Instant::from_micros(5000), dropped(before));
            assert_eq!(adaptive.limit(), after, "{algorithm:?}");
        }
    }
}

#[test]
fn an_interval_keeps_rounds_apart() {
    for algorithm in MEASURING {
        let config = AdaptiveConfig::new(algorithm, 1, 1000)
            .unwrap()
            .initial(10)
            .unwrap();
        let mut adaptive = Adaptive::new(config.interval(ms(1000)));
        let mut changes = Vec::new();
        for n in 0..150 {
            let now = Instant::from_micros(n * 100_000);
            for _ in 0..100 {
                if adaptive.sample(now, sample(ms(50), adaptive.limit())).is_some() {
                    changes.push(n);
                }
            }
        }
        assert!(
            !changes.is_empty() && changes.windows(2).all(|pair| pair[1] - pair[0] >= 10),
            "{changes:?}"
        );
    }
}

#[test]
fn changes_are_told_and_counted() {
    let mut adaptive = limit(Algorithm::Aimd, 1, 100, 10);
    let dropped = Sample {
        ending: Ending::Dropped,
        ..sample(ms(1), 10)
    };
    assert_eq!(
        adaptive.sample(Instant::from_micros(5000), dropped),
        Some(Scaled { from: 10, to: 9 })
    );
    assert_eq!(adaptive.changes(), (0, 1));
}

mod threshold {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Ten slots and a queue of ten, from 2 to 40 slots, a target of 100 ms.
    fn scaler() -> Adaptive {
        let config = AdaptiveConfig::new(Algorithm::Threshold, 2, 40).unwrap();
        Adaptive::new(config.initial(10).unwrap().target(ms(100)).unwrap())
    }

    fn load(running: u32, queued: u32, latency: u64) -> Sample {
        Sample {
            queued,
            queue_capacity: Some(10),
            ..sample(ms(latency), running)
        }
    }

    /// Samples over two seconds, ten a second.
    fn two_seconds(adaptive: &mut Adaptive, sample: Sample) -> u32 {
        (0..20).for_each(|n| {
            adaptive.sample(Instant::from_micros(n * 100_000), sample);
        });
        adaptive.limit()
    }

    #[test]
    fn up_above_eighty_percent_load() {
        assert_eq!(
            two_seconds(&mut scaler(), load(10, 6, 150)),
            10,
            "16 of 20 are not above"
        );
        assert_eq!(two_seconds(&mut scaler(), load(10, 7, 150)), 15);
    }

    #[test]
    fn up_above_twice_the_target_response_time_whatever_the_load() {
        assert_eq!(two_seconds(&mut scaler(), load(1, 0, 200)), 10);
        assert_eq!(two_seconds(&mut scaler(), load(1, 0, 201)), 15);
    }

    #[test]
    fn down_below_thirty_percent_load_and_below_the_target_only() {
        assert_eq!(two_seconds(&mut scaler(), load(5, 0, 99)), 6);
        assert_eq!(
            two_seconds(&mut scaler(), load(6, 0, 99)),
            10,
            "6 of 20 are not below"
        );
        assert_eq!(
            two_seconds(&mut scaler(), load(5, 0, 100)),
            10,
            "100 ms are not below"
        );
    }

    #[test]
    fn no_two_changes_within_the_interval() {
        let mut adaptive = scaler();
        let mut changes = Vec::new();
        for n in 0..50 {
            let now = Instant::from_micros(n * 100_000);
            if adaptive.sample(now, load(20, 20, 150)).is_some() {
                changes.push(n);
            }
        }
        assert_eq!(changes, [10, 20, 30, 40]);
        assert_eq!(
            (adaptive.limit(), adaptive.changes()),
            (40, (4, 0)),
            "and none beyond its bounds"
        );
    }

    #[test]
    fn down_stops_at_the_minimum() {
        let mut adaptive = scaler();
        for n in 0..200 {
            adaptive.sample(Instant::from_micros(n * 100_000), load(1, 0, 50));
        }
        assert_eq!(adaptive.limit(), 2);
    }

    #[test]
    fn a_queue_without_end_counts_against_the_slots_alone() {
        let sample = Sample {
            queue_capacity: None,
            ..load(8, 1, 50)
        };
        assert_eq!(two_seconds(&mut scaler(), sample), 15);
    }

    #[test]
    fn factor_thresholds_and_interval_can_be_set() {
        let config = AdaptiveConfig::new(Algorithm::Threshold, 1, 40)
            .unwrap()
            .initial(10)
            .unwrap();
        let config = config
            .factor(2.0)
            .unwrap()
            .thresholds(0.5, 0.2)
            .unwrap()
            .interval(ms(10));
        let mut adaptive = Adaptive::new(config);
        adaptive.sample(Instant::from_micros(0), sample(ms(1), 6));
        assert_eq!(
            adaptive.sample(Instant::from_micros(9_999), sample(ms(1), 6)),
            None
        );
        adaptive.sample(Instant::from_micros(10_000), sample(ms(1), 6));
        assert_eq!(adaptive.limit(), 20);
    }
}

#[test]
fn options_that_cannot_work_are_refused_in_a_sentence() {
    let config = || AdaptiveConfig::new(Algorithm::Aimd, 2, 10).unwrap();
    for (option, result) in [
        ("min", AdaptiveConfig::new(Algorithm::Aimd, 0, 10)),
        ("max", AdaptiveConfig::new(Algorithm::Aimd, 2, 1)),
        ("initial", config().initial(1)),
        ("initial", config().initial(11)),
        ("target", config().target(Duration::ZERO)),
        ("upAbove", config().thresholds(f64::NAN, 0.1)),
        ("upAbove", config().thresholds(0.0, 0.1)),
        ("downBelow", config().thresholds(0.5, 0.6)),
        ("downBelow", config().thresholds(0.5, -0.1)),
        ("factor", config().factor(1.0)),
        ("factor", config().factor(0.0)),
        ("factor", config().factor(f64::NAN)),
    ] {
        let sentence = result.unwrap_err().to_string();
        assert!(
            sentence.starts_with(&format!("Expected `{option}` to be ")),
            "{sentence}"
        );
    }
    assert_eq!(config().factor(2.0).unwrap(), config().factor(0.5).unwrap());
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_whatever_the_samples(
        algorithm in 0usize..4, min in 1u32..20, more in 0u32..100,
        samples in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), 0u8..8, any::<u64>()), 0..300),
    ) {
        let algorithm = [Algorithm::Aimd, Algorithm::Gradient, Algorithm::Vegas, Algorithm::Threshold][algorithm];
        let mut adaptive = limit(algorithm, min, min + more, min);
        for (latency, in_flight, queued, ending, now) in samples {
            let ending = if ending == 0 { Ending::Dropped } else { Ending::Done };
            let sample = Sample {
                latency: Duration::from_micros(latency), in_flight, queued, queue_capacity: Some(queued), ending,
            };
            let before = adaptive.limit();
            let scaled = adaptive.sample(Instant::from_micros(now), sample);
            prop_assert!((min..=min + more).contains(&adaptive.limit()));
            prop_assert_eq!(scaled.map_or(before, |scaled| scaled.to), adaptive.limit());
        }
    }
}

#[test]
fn an_algorithm_of_ones_own_is_kept_within_bounds() {
    #[derive(Debug)]
    struct Wild;
    impl LimitAlgorithm for Wild {
        fn sample(&mut self, now: u64, limit: f64, _: &Sample) -> f64 {
            if now == 0 { f64::NAN } else { limit * 1e9 }
        }
    }
    let config = AdaptiveConfig::new(Algorithm::Aimd, 2, 10).unwrap();
    let mut adaptive = Adaptive::with(config, Box::new(Wild));
    let call = sample(ms(1), 1);
    assert_eq!(adaptive.sample(Instant::ZERO, call), None);
    assert_eq!(
        adaptive.sample(Instant::from_micros(micros(ms(1))), call),
        Some(Scaled { from: 2, to: 10 })
    );
}

#[test]
fn a_drop_takes_a_share_of_a_large_limit_and_one_of_a_small_one() {
    let dropped = Sample {
        ending: Ending::Dropped,
        ..sample(ms(10), 1)
    };
    let mut aimd = Aimd::new(0.9, None);
    assert_eq!(aimd.sample(1_000_000, 100.0, &dropped), 90.0);
    // What began before the last decrease tells of the limit before it; what began with it does not.
    assert_eq!(aimd.sample(1_009_999, 90.0, &dropped), 90.0);
    assert_eq!(aimd.sample(1_010_000, 2.0, &dropped), 1.0);
    let mut aimd = Aimd::new(0.9, Some(ms(10)));
    assert_eq!(aimd.sample(0, 4.0, &sample(ms(10), 4)), 4.25);
    assert_eq!(aimd.sample(0, 4.0, &sample(ms(11), 4)), 3.0);
    assert_eq!(
        aimd.sample(1_000_000, 4.0, &sample(ms(1), 1)),
        4.0,
        "held by something else"
    );
}

#[test]
fn vegas_too_takes_a_share_or_one_when_calls_are_dropped() {
    for (limit, left) in [(5.0, 4.0), (100.0, 90.0)] {
        let mut vegas = Vegas::new(1, Duration::ZERO);
        let dropped = Sample {
            ending: Ending::Dropped,
            ..sample(ms(10), 5)
        };
        let limits: Vec<f64> = (0..20)
            .map(|n| vegas.sample(n * 1_000_000, limit, &dropped))
            .collect();
        assert!(
            limits.iter().all(|after| *after == limit || *after == left),
            "{limits:?}"
        );
        assert!(limits.contains(&left));
    }
}

#[test]
fn thresholds_scale_by_a_share_and_by_one_at_least() {
    let scaled = |shrink: f64, limit: f64, latency: Duration, in_flight: u32| {
        let mut threshold = Threshold::new(0.8, 0.3, shrink, Some(ms(10)), ms(100));
        let sample = sample(latency, in_flight);
        assert_eq!(threshold.sample(0, limit, &sample), limit);
        assert_eq!(
            threshold.sample(99_999, limit, &sample),
            limit,
            "not before its interval"
        );
        threshold.sample(100_000, limit, &sample)
    };
    // Busy.
    assert_eq!(scaled(0.5, 10.0, ms(1), 9), 20.0);
    assert_eq!(scaled(1.0, 10.0, ms(1), 9), 11.0);
    assert_eq!(scaled(0.5, 10.0, ms(1), 8), 10.0);
    // Idle and fast.
    assert_eq!(scaled(0.5, 10.0, ms(1), 2), 5.0);
    assert_eq!(scaled(1.0, 10.0, ms(1), 2), 9.0);
    assert_eq!(scaled(0.5, 10.0, ms(1), 3), 10.0);
    assert_eq!(scaled(0.5, 10.0, ms(10), 2), 10.0, "idle, but not fast");
    // Slow: above twice the target.
    assert_eq!(scaled(0.5, 10.0, ms(20), 5), 10.0);
    assert_eq!(scaled(0.5, 10.0, ms(21), 5), 20.0);
}

#[test]
fn the_load_of_thresholds_counts_the_queue_among_work_and_room() {
    let load = |queued: u32, queue_capacity: Option<u32>| {
        let mut threshold = Threshold::new(0.8, 0.3, 0.5, None, Duration::ZERO);
        let sample = Sample {
            queued,
            queue_capacity,
            ..sample(ms(1), 10)
        };
        threshold.sample(0, 10.0, &sample)
    };
    assert_eq!(load(6, Some(10)), 10.0, "16 of 20 is not above 80 %");
    assert_eq!(load(7, Some(10)), 20.0);
    assert_eq!(load(0, Some(30)), 5.0, "10 of 40 is below 30 %");
    assert_eq!(load(0, Some(20)), 10.0);
    assert_eq!(load(0, None), 20.0);
}

#[test]
fn thresholds_judge_the_mean_of_response_times_and_not_the_last() {
    let mut threshold = Threshold::new(0.8, 0.3, 0.5, Some(ms(20)), ms(1));
    let mut after = |n: u64, latency: u64| threshold.sample(1000 * n, 10.0, &sample(ms(latency), 5));
    assert_eq!(after(0, 10), 10.0);
    // 30 ms on average: above the target, below twice as much.
    assert_eq!(after(1, 50), 10.0);
    assert_eq!(after(2, 100), 20.0);
}

#[test]
fn thresholds_judge_by_means_since_the_last_change() {
    let mut threshold = Threshold::new(0.8, 0.3, 0.5, None, ms(1));
    let of = |in_flight| sample(ms(1), in_flight);
    assert_eq!(threshold.sample(0, 10.0, &of(10)), 10.0);
    // The mean of 1.0, 0.5 and 0.9 is 0.8, and that is not above 80 %.
    assert_eq!(threshold.sample(500, 10.0, &of(5)), 10.0);
    assert_eq!(threshold.sample(1000, 10.0, &of(9)), 10.0);
    assert_eq!(threshold.sample(1001, 10.0, &of(10)), 20.0);
    // From here on anew.
    assert_eq!(threshold.sample(1500, 20.0, &of(2)), 20.0);
    assert_eq!(threshold.sample(2001, 20.0, &of(2)), 10.0);
}
