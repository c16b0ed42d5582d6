use super::*;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn ms(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

fn lost(presence: &mut Presence, now: Instant) -> Vec<Lost> {
    std::iter::from_fn(|| presence.next_lost(now)).collect()
}

#[test]
fn one_who_claims_in_time_is_not_lost() {
    let mut presence = Presence::new(Reach::Looks);
    let seat = presence.sit(ms(0), 1).unwrap();
    let other = presence.sit(ms(0), 1).unwrap();
    assert!(presence.hand(ms(3), seat));
    assert!(presence.claim(ms(4), seat));
    presence.rise(seat);
    for now in (5..200).step_by(5) {
        presence.beat(ms(now), other);
    }
    assert_eq!(lost(&mut presence, ms(200)), []);
    assert_eq!(presence.seated(), 1);
}

#[test]
fn what_nobody_claims_within_a_beat_is_lost_and_not_before() {
    let mut presence = Presence::new(Reach::Looks);
    let dead = presence.sit(ms(0), 1).unwrap();
    assert!(presence.hand(ms(1), dead));
    let live = presence.sit(ms(1), 1).unwrap();
    let mut now = 6;
    let mut seen = None;
    while seen.is_none() && now < 500 {
        let delay = presence.beat(ms(now), live).unwrap() / 1000;
        if !lost(&mut presence, ms(now)).is_empty() {
            seen = Some(now);
        }
        now += delay;
    }
    // Handed at 1: within the beat until 51, and found at the next beat of whoever is there.
    assert!((52..=101).contains(&seen.unwrap()), "{seen:?}");
    assert!(!presence.claim(ms(now), dead));
}

#[test]
fn three_hundred_who_are_gone_are_found_at_the_first_beat_of_the_next_who_comes() {
    let mut presence = Presence::new(Reach::Looks);
    let dead: Vec<_> = (0..300).map(|_| presence.sit(ms(0), 1).unwrap()).collect();
    assert!(dead.iter().all(|seat| presence.beat(ms(5), *seat).is_some()));
    let live = presence.sit(ms(9000), 1).unwrap();
    assert_eq!(lost(&mut presence, ms(9000)), []);
    presence.beat(ms(9005), live).unwrap();
    assert_eq!(lost(&mut presence, ms(9005)).len(), 300);
    assert!(!presence.hand(ms(9005), dead[7]));
    assert!(presence.hand(ms(9005), live));
}

#[test]
fn a_thread_that_was_busy_for_a_minute_loses_nobody() {
    let mut presence = Presence::new(Reach::Looks);
    let seats: Vec<_> = (0..50).map(|n| presence.sit(ms(n), 1).unwrap()).collect();
    // All timers are overdue now, and go off in the order in which they were due.
    for seat in &seats {
        presence.beat(ms(60_000), *seat).unwrap();
        assert_eq!(lost(&mut presence, ms(60_000)), []);
    }
}

#[test]
fn a_clock_that_stands_still_finds_the_dead_and_spares_the_living() {
    let mut presence = Presence::new(Reach::Looks);
    let dead = presence.sit(ms(7), 1).unwrap();
    let live = presence.sit(ms(7), 1).unwrap();
    let beats = (0..40).take_while(|_| {
        presence.beat(ms(7), live).unwrap();
        lost(&mut presence, ms(7)) != [Lost::Seat(dead)]
    });
    assert!(beats.count() < 20);
    assert!(presence.hand(ms(7), live));
    assert!(presence.claim(ms(7), live));
}

#[test]
fn a_lease_is_lost_at_its_end_and_not_before() {
    let mut presence = Presence::new(Reach::Looks);
    let lease = presence.lease(ms(10), 30_000_000).unwrap();
    assert_eq!(lost(&mut presence, ms(30_009)), []);
    assert!(presence.renew(ms(30_009), lease, 1_000_000));
    assert_eq!(lost(&mut presence, ms(31_008)), []);
    assert_eq!(lost(&mut presence, ms(31_009)), [Lost::Lease(lease)]);
    assert!(!presence.renew(ms(31_009), lease, 1_000_000));
    let returned = presence.lease(ms(31_010), 1).unwrap();
    presence.end_lease(returned);
    assert_eq!(lost(&mut presence, ms(90_000)), []);
}

#[test]
fn whoever_is_about_to_be_served_looks_more_often() {
    let mut presence = Presence::new(Reach::Looks);
    let seats: Vec<_> = (0..200).map(|_| presence.sit(ms(0), 1).unwrap()).collect();
    for (n, seat) in seats.iter().take(20).enumerate() {
        let now = ms(10 + 10 * n as u64);
        assert!(presence.hand(now, *seat) || n > 4);
        presence.rise(*seat);
    }
    let near = presence.beat(ms(210), seats[20]).unwrap();
    let far = presence.beat(ms(210), seats[199]).unwrap();
    assert_eq!(near, 10_000 / 8);
    assert_eq!(far, 180 * SHARE);
}

#[test]
fn whoever_leaves_brings_those_behind_nearer_once_whether_it_was_served_or_not() {
    let mut presence = Presence::new(Reach::Looks);
    let seats: Vec<_> = (0..30).map(|_| presence.sit(ms(0), 1).unwrap()).collect();
    for (n, seat) in seats.iter().take(2).enumerate() {
        assert!(presence.hand(ms(8 * (n as u64 + 1)), *seat));
        presence.rise(*seat);
    }
    // One is served in 8 ms, and ten are before it: in half of the time in which it is one of the next.
    assert_eq!(presence.beat(ms(16), seats[12]), Some((10 - NEXT) * 8_000 / 2));
    for seat in &seats[2..5] {
        presence.rise(*seat);
    }
    assert_eq!(presence.beat(ms(16), seats[12]), Some((7 - NEXT) * 8_000 / 2));
}

#[test]
fn where_they_are_told_nobody_looks_more_often_than_it_takes_to_say_that_it_is_there() {
    let mut presence = Presence::new(Reach::Told);
    let first = presence.sit(ms(0), 1).unwrap();
    assert_eq!(presence.first_beat(), BEAT);
    assert_eq!(presence.beat(ms(50), first), Some(BEAT));
    for _ in 1..1000 {
        presence.sit(ms(50), 1).unwrap();
    }
    assert!(presence.hand(ms(60), first));
    assert_eq!(presence.beat(ms(100), first), Some(1000 * SHARE));
}

#[test]
fn one_who_waits_long_without_news_beats_less_and_less_often() {
    let mut presence = Presence::new(Reach::Looks);
    let seat = presence.sit(ms(0), 1).unwrap();
    let delays: Vec<_> = (0..6)
        .map(|_| presence.beat(ms(0), seat).unwrap() / 1000)
        .collect();
    assert_eq!(delays, [5, 10, 20, 40, 50, 50]);
}

proptest! {
    // Timers go off in the order of their dues, whatever the clock does in between: then nobody who beats is ever lost, and
    // everybody who stopped is.
    #[test]
    fn the_living_are_never_lost_and_the_dead_always(
        alive in prop::collection::vec(any::<bool>(), 1..40),
        stalls in prop::collection::vec(0u64..400, 0..60),
    ) {
        let mut presence = Presence::new(Reach::Looks);
        let mut now = 1000;
        let mut timers = BTreeMap::new();
        let mut living = Vec::new();
        for (n, lives) in alive.iter().enumerate() {
            let seat = presence.sit(ms(now), (n % 3) as u32).unwrap();
            if *lives {
                living.push(seat);
                timers.insert((ms(now).plus_micros(FIRST_BEAT), n), seat);
            }
        }
        let mut gone = 0;
        for stall in stalls {
            let Some(((due, n), seat)) = timers.pop_first() else { break };
            now = now.max(due.as_micros() / 1000) + if stall > 300 { stall } else { 0 };
            let delay = presence.beat(ms(now), seat);
            prop_assert!(delay.is_some());
            timers.insert((ms(now).plus_micros(delay.unwrap_or(BEAT)), n), seat);
            for one in lost(&mut presence, ms(now)) {
                let Lost::Seat(seat) = one else { continue };
                prop_assert!(!living.contains(&seat));
                gone += 1;
            }
        }
        prop_assert!(gone <= alive.len() - living.len());
        if !living.is_empty() {
            // Another second of beats finds all of them.
            for _ in 0..living.len() * 210 {
                let Some(((due, n), seat)) = timers.pop_first() else { break };
                now = now.max(due.as_micros() / 1000);
                let delay = presence.beat(ms(now), seat).unwrap_or(BEAT);
                timers.insert((ms(now).plus_micros(delay), n), seat);
                gone += lost(&mut presence, ms(now)).len();
            }
            prop_assert_eq!(gone, alive.len() - living.len());
        }
    }
}
