use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn small() -> BatchConfig {
    BatchConfig {
        size: BatchSize::Fixed(number(4)),
        concurrency: number(2),
        batches: number(2),
        ..BatchConfig::default()
    }
}

fn woken(wakes: &mut Wakes) -> Vec<(Ticket, Why)> {
    std::iter::from_fn(|| wakes.pop())
        .map(|wake| (wake.ticket, wake.why))
        .collect()
}

fn end_all(batches: &mut Batches, now: Instant, ticket: Ticket, wakes: &mut Wakes) {
    loop {
        let under_way: Vec<u32> = std::iter::from_fn(|| batches.next_item(ticket)).collect();
        if under_way.is_empty() {
            return;
        }
        for _ in under_way {
            batches.end_item(now, ticket, ItemEnd::Done, wakes).unwrap();
        }
    }
}

#[test]
fn a_batch_takes_a_hundred_items_and_the_source_is_asked_for_no_more_than_a_hundred_batches() {
    let (mut batches, mut wakes) = (Batches::new(BatchConfig::default()), Wakes::new());
    assert_eq!(batches.size(), number(100));
    for _ in 0..100 {
        assert_eq!(batches.next(at(0), false), Next::Draw { items: number(100) });
        batches.open(at(0), 100, false, &mut wakes).unwrap();
    }
    assert_eq!(batches.next(at(0), false), Next::Wait);
    assert_eq!(woken(&mut wakes).len(), 10);
}

#[test]
fn a_batch_whose_size_adapts_is_cut_only_when_it_can_run() {
    let config = BatchConfig {
        size: BatchSize::Adaptive(AdaptiveSize::default()),
        ..small()
    };
    let (mut batches, mut wakes) = (Batches::new(config), Wakes::new());
    for _ in 0..3 {
        assert!(matches!(batches.next(at(0), false), Next::Draw { .. }));
        batches.open(at(0), 100, false, &mut wakes);
    }
    assert_eq!(batches.next(at(0), false), Next::Wait);
}

#[test]
fn so_many_items_run_at_once_and_each_end_lets_the_next_one_start() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let batch = batches.open(at(0), 4, false, &mut wakes).unwrap();
    assert_eq!([0; 3].map(|_| batches.next_item(batch)), [Some(0), Some(1), None]);
    batches
        .end_item(at(1), batch, ItemEnd::Failed, &mut wakes)
        .unwrap();
    assert_eq!([0; 2].map(|_| batches.next_item(batch)), [Some(2), None]);
}

#[test]
fn a_failed_item_is_one_error_in_its_batch_and_in_no_other() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let batch = batches.open(at(0), 2, true, &mut wakes).unwrap();
    while batches.next_item(batch).is_some() {}
    batches
        .end_item(at(1), batch, ItemEnd::Failed, &mut wakes)
        .unwrap();
    batches.end_item(at(2), batch, ItemEnd::Done, &mut wakes).unwrap();
    assert_eq!(woken(&mut wakes), [(batch, Why::Granted), (batch, Why::Ready)]);
    assert!(!batches.is_over());
    let view = batches.read(at(2), batch, &mut wakes).unwrap();
    assert_eq!(
        (view.done, view.failed, view.duration),
        (1, 1, Duration::from_secs(2))
    );
    assert_eq!(batches.read(at(2), batch, &mut wakes), Err(StaleTicket));
    assert!(batches.is_over());
}

#[test]
fn an_item_that_never_started_cannot_end() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let batch = batches.open(at(0), 2, false, &mut wakes).unwrap();
    let early = batches.end_item(at(0), batch, ItemEnd::Done, &mut wakes);
    assert_eq!(early, Err(StaleTicket));
}

#[test]
fn the_next_batch_in_line_runs_when_one_is_over() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let [first, second, third] = [0; 3].map(|_| batches.open(at(0), 1, false, &mut wakes).unwrap());
    assert_eq!(woken(&mut wakes), [(first, Why::Granted), (second, Why::Granted)]);
    assert_eq!(batches.next_item(third), None);
    end_all(&mut batches, at(1), second, &mut wakes);
    assert_eq!(woken(&mut wakes), [(second, Why::Ready), (third, Why::Granted)]);
}

#[test]
fn unread_results_stop_the_intake_until_they_are_read() {
    let config = BatchConfig {
        result_buffer: number(2),
        ..small()
    };
    let (mut batches, mut wakes) = (Batches::new(config), Wakes::new());
    let [first, second, third] = [0; 3].map(|_| batches.open(at(0), 1, false, &mut wakes).unwrap());
    end_all(&mut batches, at(1), first, &mut wakes);
    end_all(&mut batches, at(1), second, &mut wakes);
    assert!(!woken(&mut wakes).contains(&(third, Why::Granted)));
    assert_eq!(batches.next(at(1), false), Next::Wait);
    batches.read(at(1), first, &mut wakes).unwrap();
    assert_eq!(woken(&mut wakes), [(third, Why::Granted)]);
}

#[test]
fn a_batch_that_runs_out_of_time_loses_its_unfinished_items_and_nobody_elses() {
    let config = BatchConfig {
        timeout: Some(Duration::from_secs(5)),
        ..small()
    };
    let (mut batches, mut wakes) = (Batches::new(config), Wakes::new());
    let slow = batches.open(at(0), 4, false, &mut wakes).unwrap();
    let quick = batches.open(at(1), 1, false, &mut wakes).unwrap();
    let next = batches.open(at(1), 1, true, &mut wakes).unwrap();
    batches.next_item(slow);
    batches.end_item(at(1), slow, ItemEnd::Done, &mut wakes).unwrap();
    batches.next_item(slow);
    woken(&mut wakes);
    assert_eq!(batches.next_deadline(), Some(at(5)));
    batches.on_deadline(Instant::from_micros(4_999_999), &mut wakes);
    assert!(wakes.is_empty());
    batches.on_deadline(at(5), &mut wakes);
    assert_eq!(woken(&mut wakes), [(slow, Why::Expired), (next, Why::Granted)]);
    let late = batches.end_item(at(6), slow, ItemEnd::Done, &mut wakes);
    assert_eq!(late, Err(StaleTicket));
    let view = batches.read(at(6), slow, &mut wakes).unwrap();
    assert_eq!((view.done, view.failed), (1, 3));
    assert!(batches.view(at(6), quick).is_some_and(|view| !view.ended));
}

#[test]
fn under_pressure_each_submission_waits_its_time_and_then_goes_ahead() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let draw = Next::Draw { items: number(4) };
    assert_eq!(batches.next(at(0), true), Next::WaitUntil(at(5)));
    assert_eq!(batches.next(at(4), true), Next::WaitUntil(at(5)));
    assert_eq!(batches.next(at(5), true), draw);
    batches.open(at(5), 4, false, &mut wakes);
    assert_eq!(batches.next(at(6), true), Next::WaitUntil(at(11)));
    assert_eq!(batches.next(at(7), false), draw);
    assert_eq!(batches.next(at(8), true), Next::WaitUntil(at(13)));
}

#[test]
fn an_empty_source_is_over_at_once_and_a_cancelled_run_draws_no_more() {
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    assert_eq!(batches.open(at(0), 0, false, &mut wakes), None);
    assert!(batches.is_over());
    let (mut batches, mut wakes) = (Batches::new(small()), Wakes::new());
    let open: Vec<Ticket> = (0..3)
        .map(|_| batches.open(at(0), 4, false, &mut wakes).unwrap())
        .collect();
    woken(&mut wakes);
    batches.cancel(at(1), &mut wakes);
    let revoked: Vec<_> = open.iter().map(|ticket| (*ticket, Why::Revoked)).collect();
    assert_eq!(woken(&mut wakes), revoked);
    assert_eq!(batches.next(at(1), false), Next::Drained);
    for ticket in open {
        batches.read(at(1), ticket, &mut wakes).unwrap();
    }
    assert!(batches.is_over());
}

proptest! {
    #[test]
    fn the_bounds_hold_and_every_item_ends_once(
        (items, per_batch, at_once, running, unfinished, buffer) in (0u32..60, 1u32..7, 1u32..4, 1u32..4, 1u32..6, 1u32..5),
        timeout in prop::option::of(1u64..5),
        picks in prop::collection::vec((0u8..6, 0usize..8, 0u64..2), 0..200),
    ) {
        let mut batches = Batches::new(BatchConfig {
            size: BatchSize::Fixed(number(per_batch)),
            concurrency: number(at_once),
            batches: number(running),
            unfinished: number(unfinished),
            result_buffer: number(buffer),
            timeout: timeout.map(Duration::from_secs),
            pressure_wait: Duration::from_secs(1),
        });
        let mut wakes = Wakes::new();
        let mut left = items;
        let mut now = 0;
        let mut under_way: Vec<Ticket> = Vec::new();
        let mut live: BTreeMap<Ticket, bool> = BTreeMap::new();
        let (mut done, mut failed) = (0, 0);
        // After the picks, a host that does everything in turn must come to an end.
        let endgame = (0..4000).map(|n| ((n % 6) as u8, 0, u64::from(n % 6 == 5)));
        for (op, pick, wait) in picks.into_iter().chain(endgame) {
            now += wait;
            match op {
                0 => if let Next::Draw { items } = batches.next(at(now), pick == 7) {
                    let drawn = left.min(items.get());
                    left -= drawn;
                    if let Some(ticket) = batches.open(at(now), drawn, drawn < items.get(), &mut wakes) { live.insert(ticket, false); }
                },
                1 => for (ticket, runs) in &live {
                    if batches.next_item(*ticket).is_some() { prop_assert!(*runs); under_way.push(*ticket); }
                },
                2 | 3 if !under_way.is_empty() => {
                    let ticket = under_way.swap_remove(pick % under_way.len());
                    let end = if op == 2 { ItemEnd::Done } else { ItemEnd::Failed };
                    let _ = batches.end_item(at(now), ticket, end, &mut wakes);
                }
                4 => {
                    let ready: Vec<Ticket> = live.keys().copied().filter(|t| batches.view(at(now), *t).unwrap().ended).collect();
                    if let Some(ticket) = ready.first() {
                        let view = batches.read(at(now), *ticket, &mut wakes).unwrap();
                        prop_assert_eq!(view.done + view.failed, view.items);
                        done += view.done;
                        failed += view.failed;
                        live.remove(ticket);
                        under_way.retain(|other| other != ticket);
                    }
                }
                _ => batches.on_deadline(at(now), &mut wakes),
            }
            for (ticket, why) in woken(&mut wakes) {
                live.insert(ticket, why == Why::Granted);
            }
            let views: Vec<BatchView> = live.keys().filter_map(|t| batches.view(at(now), *t)).collect();
            let ended = views.iter().filter(|view| view.ended).count();
            prop_assert!(live.values().filter(|runs| **runs).count() <= running as usize);
            prop_assert!(ended <= buffer as usize);
            prop_assert!(views.len() - ended <= unfinished as usize);
            for ticket in live.keys() {
                let runs = batches.view(at(now), *ticket).is_some_and(|view| !view.ended);
                let items = under_way.iter().filter(|other| *other == ticket).count();
                prop_assert!(!runs || items <= at_once as usize);
            }
        }
        prop_assert!(batches.is_over());
        prop_assert_eq!(done + failed, items);
        prop_assert_eq!(batches.progress().done + batches.progress().failed, u64::from(items));
    }
}
