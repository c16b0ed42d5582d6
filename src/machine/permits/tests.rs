use super::*;
use crate::machine::gate::OpenGate;
use crate::machine::queue::Overflow;
use proptest::prelude::*;
use std::collections::HashMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const T0: Instant = Instant::from_micros(1_000_000);

struct House {
    permits: Permits,
    wakes: Wakes,
    now: Instant,
}

impl House {
    fn of(capacity: u32, queue: QueueConfig) -> Self {
        Self {
            permits: Permits::new(capacity, queue),
            wakes: Wakes::new(),
            now: T0,
        }
    }
    fn ask(&mut self, ask: Ask) -> Admission {
        self.permits
            .request(self.now, ask, &mut OpenGate, &mut self.wakes)
    }
    fn granted(&mut self, ask: Ask) -> Ticket {
        match self.ask(ask) {
            Admission::Granted(ticket) => ticket,
            other => panic!("expected a grant, got {other:?}"),
        }
    }
    fn queued(&mut self, ask: Ask) -> Ticket {
        match self.ask(ask) {
            Admission::Queued(ticket) => ticket,
            other => panic!("expected a place in the queue, got {other:?}"),
        }
    }
    fn release(&mut self, ticket: Ticket) {
        self.permits
            .release(self.now, ticket, Outcome::Success, &mut OpenGate, &mut self.wakes)
            .unwrap();
    }
    fn cancel(&mut self, ticket: Ticket) {
        self.permits
            .cancel(self.now, ticket, &mut OpenGate, &mut self.wakes)
            .unwrap();
    }
    fn pass(&mut self, micros: u64) {
        self.now = self.now.plus_micros(micros);
        self.permits.on_deadline(self.now, &mut OpenGate, &mut self.wakes);
    }
    fn wakes(&mut self) -> Vec<(Ticket, Why)> {
        std::iter::from_fn(|| self.wakes.pop())
            .map(|wake| (wake.ticket, wake.why))
            .collect()
    }
}

fn bounded(capacity: u32, overflow: Overflow) -> QueueConfig {
    QueueConfig {
        capacity: Some(capacity),
        overflow,
        ..QueueConfig::default()
    }
}

#[test]
fn what_is_not_measured_takes_no_memory_and_is_still_counted() {
    let mut house = House::of(1, QueueConfig::default());
    house.permits.measured = false;
    let ticket = house.granted(Ask::default());
    house.now = T0 + std::time::Duration::from_millis(5);
    house
        .permits
        .release(
            house.now,
            ticket,
            Outcome::Success,
            &mut OpenGate,
            &mut house.wakes,
        )
        .unwrap();
    assert_eq!(
        (house.permits.counts.started, house.permits.counts.completed),
        (1, 1)
    );
    assert_eq!(
        house.permits.waited.allocated() + house.permits.ran.allocated(),
        0
    );
}

#[test]
fn released_slot_goes_to_the_oldest_waiter() {
    let mut house = House::of(1, QueueConfig::default());
    let running = house.granted(Ask::PLAIN);
    let (first, second) = (house.queued(Ask::PLAIN), house.queued(Ask::PLAIN));
    house.release(running);
    assert_eq!(house.wakes(), [(first, Why::Granted)]);
    house.release(first);
    assert_eq!(house.wakes(), [(second, Why::Granted)]);
}

#[test]
fn who_is_let_pass_would_have_been_let_in() {
    let mut house = House::of(2, QueueConfig::default());
    assert!(house.permits.lets_pass());
    let leased = house.granted(Ask {
        run_for: 100,
        ..Ask::PLAIN
    });
    assert!(!house.permits.lets_pass(), "somebody's time is running");
    house.release(leased);
    assert!(house.permits.lets_pass());
    let first = house.granted(Ask::PLAIN);
    assert!(house.permits.lets_pass());
    let second = house.granted(Ask::PLAIN);
    assert!(!house.permits.lets_pass(), "no slot is free");
    house.release(second);
    let heavy = house.queued(Ask {
        weight: 2,
        ..Ask::PLAIN
    });
    assert!(!house.permits.lets_pass(), "somebody waits");
    house.cancel(heavy);
    house.permits.pause();
    assert!(!house.permits.lets_pass(), "it is paused");
    house.permits.resume(house.now, &mut OpenGate, &mut house.wakes);
    house.permits.cool_down(house.now.plus_micros(5));
    assert!(!house.permits.lets_pass(), "it cools down");
    house.pass(5);
    assert!(house.permits.lets_pass());
    house
        .permits
        .close(house.now, false, 10, &mut OpenGate, &mut house.wakes);
    assert!(!house.permits.lets_pass(), "it is closed");
    house.release(first);
    assert!(!house.permits.lets_pass(), "it is closed");
}

#[test]
fn those_who_passed_count_as_tasks_that_took_no_time() {
    let mut house = House::of(3, QueueConfig::default());
    let one = house.granted(Ask::PLAIN);
    let other = house.granted(Ask::PLAIN);
    house.pass(8_000);
    house.release(other);
    let before = house.permits.turnover();
    house.permits.passed(1_000);
    let counts = &house.permits.counts;
    assert_eq!(
        (
            counts.accepted,
            counts.started,
            counts.completed,
            counts.peak_active
        ),
        (1_002, 1_002, 1_001, 2)
    );
    let (waited, ran) = (&house.permits.waited, &house.permits.ran);
    assert_eq!((waited.count(), ran.count(), ran.sum()), (1_002, 1_001, 8_000));
    assert_eq!(ran.quantile(0.5), Some(0));
    assert!(
        before > 1_000 && house.permits.turnover() <= 1,
        "as after as many that were measured"
    );
    house.release(one);
    house.permits.measured = false;
    house.permits.passed(7);
    assert_eq!(house.permits.waited.count(), 1_002);
    assert_eq!(house.permits.counts.completed, 1_009);
}

#[test]
fn nobody_barges_past_a_heavy_head() {
    let mut house = House::of(2, QueueConfig::default());
    let running = house.granted(Ask::PLAIN);
    let heavy = house.queued(Ask {
        weight: 2,
        ..Ask::PLAIN
    });
    let light = house.queued(Ask::PLAIN);
    assert_eq!(house.permits.in_use(), 1);
    house.release(running);
    assert_eq!(house.wakes(), [(heavy, Why::Granted)]);
    house.release(heavy);
    assert_eq!(house.wakes(), [(light, Why::Granted)]);
}

#[test]
fn cancelling_a_heavy_head_lets_the_next_run_in_the_same_step() {
    let mut house = House::of(2, QueueConfig::default());
    house.granted(Ask::PLAIN);
    let heavy = house.queued(Ask {
        weight: 2,
        ..Ask::PLAIN
    });
    let light = house.queued(Ask::PLAIN);
    house.cancel(heavy);
    assert_eq!(house.wakes(), [(light, Why::Granted)]);
}

#[test]
fn a_weight_above_capacity_is_never_possible() {
    let mut house = House::of(2, QueueConfig::default());
    let refused = Admission::Refused(Refusal::NeverPossible { limit: 2 });
    assert_eq!(
        house.ask(Ask {
            weight: 3,
            ..Ask::PLAIN
        }),
        refused
    );
    house.granted(Ask::PLAIN);
    let heavy = house.queued(Ask {
        weight: 2,
        ..Ask::PLAIN
    });
    house.permits.resize(T0, 1, &mut OpenGate, &mut house.wakes);
    assert_eq!(
        house.wakes(),
        [(heavy, Why::Refused(Refusal::NeverPossible { limit: 1 }))]
    );
}

#[test]
fn overflow_error_refuses_at_once() {
    let mut house = House::of(1, bounded(1, Overflow::Error));
    house.granted(Ask::PLAIN);
    house.queued(Ask::PLAIN);
    assert_eq!(
        house.ask(Ask::PLAIN),
        Admission::Refused(Refusal::QueueFull { queued: 1 })
    );
}

#[test]
fn overflow_drop_newest_drops_the_newcomer() {
    let mut house = House::of(1, bounded(1, Overflow::DropNewest));
    house.granted(Ask::PLAIN);
    house.queued(Ask::PLAIN);
    assert_eq!(
        house.ask(Ask::PLAIN),
        Admission::Refused(Refusal::Dropped { queued: 1 })
    );
}

#[test]
fn overflow_drop_oldest_drops_the_longest_queued_of_the_lowest_priority() {
    let mut house = House::of(1, bounded(3, Overflow::DropOldest));
    house.granted(Ask::PLAIN);
    house.queued(Ask {
        priority: 1,
        ..Ask::PLAIN
    });
    let victim = house.queued(Ask::PLAIN);
    house.queued(Ask::PLAIN);
    house.queued(Ask::PLAIN);
    assert_eq!(
        house.wakes(),
        [(victim, Why::Refused(Refusal::Dropped { queued: 3 }))]
    );
    assert_eq!(house.permits.queued(), 3);
}

#[test]
fn overflow_wait_parks_outside_and_enters_in_the_step_that_makes_room() {
    let config = QueueConfig {
        max_waiters: Some(1),
        ..bounded(1, Overflow::Wait)
    };
    let mut house = House::of(1, config);
    let running = house.granted(Ask::PLAIN);
    let queued = house.queued(Ask::PLAIN);
    let Admission::Outside(outside) = house.ask(Ask::PLAIN) else {
        panic!("expected to wait outside")
    };
    assert_eq!(
        house.ask(Ask::PLAIN),
        Admission::Refused(Refusal::QueueFull { queued: 1 })
    );
    assert_eq!((house.permits.queued(), house.permits.waiting_for_room()), (1, 1));
    house.release(running);
    assert_eq!(house.wakes(), [(queued, Why::Granted), (outside, Why::Accepted)]);
    assert_eq!((house.permits.queued(), house.permits.waiting_for_room()), (1, 0));
}

#[test]
fn without_a_queue_those_who_wait_go_straight_from_outside_to_a_slot() {
    let mut house = House::of(1, bounded(0, Overflow::Wait));
    let running = house.granted(Ask::PLAIN);
    let Admission::Outside(outside) = house.ask(Ask::PLAIN) else {
        panic!("expected to wait outside")
    };
    house.release(running);
    assert_eq!(house.wakes(), [(outside, Why::Granted)]);
}

#[test]
fn patience_ends_at_its_moment_and_not_before() {
    let mut house = House::of(1, QueueConfig::default());
    house.granted(Ask::PLAIN);
    let waiting = house.queued(Ask {
        patience: Patience::Micros(10),
        ..Ask::PLAIN
    });
    assert_eq!(house.permits.next_deadline(), Some(T0.plus_micros(10)));
    house.pass(9);
    assert_eq!(house.wakes(), []);
    house.pass(1);
    assert_eq!(house.wakes(), [(waiting, Why::Refused(Refusal::QueueTimeout))]);
    assert_eq!(house.permits.next_deadline(), None);
}

#[test]
fn a_task_out_of_time_frees_its_slot_and_is_abandoned_until_it_settles() {
    let mut house = House::of(1, QueueConfig::default());
    let running = house.granted(Ask {
        run_for: 10,
        ..Ask::PLAIN
    });
    let waiting = house.queued(Ask::PLAIN);
    house.pass(10);
    assert_eq!(house.wakes(), [(running, Why::Expired), (waiting, Why::Granted)]);
    assert_eq!((house.permits.active(), house.permits.abandoned()), (1, 1));
    house.release(running);
    assert_eq!((house.permits.active(), house.permits.abandoned()), (1, 0));
    assert_eq!(house.permits.counts.completed, 0);
}

#[test]
fn holding_keeps_the_slot_of_a_task_out_of_time() {
    let mut house = House::of(1, QueueConfig::default());
    let running = house.granted(Ask {
        run_for: 10,
        at_end: AtEnd::Hold,
        ..Ask::PLAIN
    });
    let waiting = house.queued(Ask::PLAIN);
    house.pass(10);
    assert_eq!(house.wakes(), [(running, Why::Expired)]);
    house.pass(10);
    assert_eq!(house.wakes(), []);
    house.release(running);
    assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
}

#[test]
fn a_lease_can_be_renewed_and_is_revoked_when_it_is_not() {
    let mut house = House::of(1, QueueConfig::default());
    let lease = house.granted(Ask {
        run_for: 10,
        at_end: AtEnd::Revoke,
        ..Ask::PLAIN
    });
    house.pass(9);
    assert_eq!(
        house.permits.renew(house.now, lease, 10),
        Ok(house.now.plus_micros(10))
    );
    house.pass(9);
    assert_eq!(house.wakes(), []);
    house.pass(1);
    assert_eq!(house.wakes(), [(lease, Why::Expired)]);
    let late = house.permits.release(
        house.now,
        lease,
        Outcome::Success,
        &mut OpenGate,
        &mut house.wakes,
    );
    assert_eq!((late, house.permits.counts.late_releases), (Err(StaleTicket), 1));
}

#[test]
fn what_cannot_start_before_its_deadline_is_shed_at_once_with_the_estimate() {
    let mut house = House::of(1, QueueConfig::default());
    let first = house.granted(Ask::PLAIN);
    house.now = house.now.plus_micros(1000);
    house.release(first);
    house.granted(Ask::PLAIN);
    house.queued(Ask::PLAIN);
    let soon = house.now.plus_micros(1200);
    let estimate = house.now.plus_micros(1500);
    assert_eq!(
        house.ask(Ask {
            deadline: soon,
            ..Ask::PLAIN
        }),
        Admission::Refused(Refusal::Shed { estimate })
    );
    house.queued(Ask {
        deadline: estimate,
        ..Ask::PLAIN
    });
}

#[test]
fn a_deadline_ends_the_run_too() {
    let mut house = House::of(1, QueueConfig::default());
    let deadline = T0.plus_micros(10);
    let running = house.granted(Ask {
        deadline,
        ..Ask::PLAIN
    });
    house.pass(9);
    assert_eq!(house.wakes(), []);
    house.pass(1);
    assert_eq!(house.wakes(), [(running, Why::Expired)]);
}

#[test]
fn closing_finishes_the_queue_and_its_grace_revokes_what_is_left() {
    let mut house = House::of(1, QueueConfig::default());
    let running = house.granted(Ask::PLAIN);
    let waiting = house.queued(Ask::PLAIN);
    house
        .permits
        .close(house.now, false, 100, &mut OpenGate, &mut house.wakes);
    assert_eq!(house.ask(Ask::PLAIN), Admission::Refused(Refusal::Closed));
    house.release(running);
    assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
    house.pass(99);
    assert_eq!(house.wakes(), []);
    house.pass(1);
    assert_eq!(house.wakes(), [(waiting, Why::Revoked)]);
    assert_eq!(house.permits.abandoned(), 1);
    assert_eq!(house.permits.next_deadline(), None);
}

#[test]
fn a_cool_down_holds_the_whole_queue_until_its_moment() {
    let mut house = House::of(2, QueueConfig::default());
    house.permits.cool_down(house.now.plus_micros(10));
    let waiting = house.queued(Ask::PLAIN);
    house.pass(9);
    assert_eq!(house.wakes(), []);
    assert_eq!(house.permits.next_deadline(), Some(T0.plus_micros(10)));
    house.pass(1);
    assert_eq!(house.wakes(), [(waiting, Why::Granted)]);
}

#[derive(Clone, Debug)]
enum Op {
    Ask {
        weight: u32,
        priority: i32,
        key: u32,
        patience: u64,
        run_for: u64,
        at_end: AtEnd,
    },
    Release(usize),
    Cancel(usize),
    Resize(u32),
    Tick(u64),
    StepBack(u64),
    Pause,
    Resume,
}

fn op() -> impl Strategy<Value = Op> {
    let at_end = prop_oneof![Just(AtEnd::Abandon), Just(AtEnd::Hold), Just(AtEnd::Revoke)];
    prop_oneof![
        6 => (1u32..4, -2i32..3, 0u32..3, 0u64..40, 1u64..40, at_end).prop_map(
            |(weight, priority, key, patience, run_for, at_end)| Op::Ask { weight, priority, key, patience, run_for, at_end }
        ),
        4 => any::<usize>().prop_map(Op::Release),
        3 => any::<usize>().prop_map(Op::Cancel),
        1 => (1u32..6).prop_map(Op::Resize),
        2 => (0u64..30).prop_map(Op::Tick),
        1 => (0u64..10).prop_map(Op::StepBack),
        1 => Just(Op::Pause),
        1 => Just(Op::Resume),
    ]
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Waiting,
    Running { weight: u32, at_end: AtEnd },
    Abandoned,
}

proptest! {
    /// Whatever happens in whatever order: the bound holds, everybody is answered exactly once, and when all is
    /// over nothing is held, queued or timed.
    #[test]
    fn bounds_hold_and_nobody_is_lost(
        ops in prop::collection::vec(op(), 1..120),
        capacity in 1u32..4,
        room in prop::option::of(0u32..4),
        overflow in prop_oneof![Just(Overflow::Wait), Just(Overflow::DropNewest), Just(Overflow::DropOldest), Just(Overflow::Error)],
    ) {
        let config = QueueConfig { capacity: room, overflow, max_waiters: Some(3), aging: 4 };
        let mut house = House::of(capacity, config);
        let mut capacity = capacity;
        let mut known: HashMap<Ticket, State> = HashMap::new();
        let mut weights: HashMap<Ticket, (u32, AtEnd)> = HashMap::new();
        let apply = |house: &mut House, known: &mut HashMap<Ticket, State>, weights: &HashMap<Ticket, (u32, AtEnd)>| {
            let mut granted = 0;
            for (ticket, why) in house.wakes() {
                let before = known.get(&ticket).copied();
                match why {
                    Why::Granted => {
                        granted += 1;
                        assert_eq!(before, Some(State::Waiting));
                        let (weight, at_end) = weights[&ticket];
                        known.insert(ticket, State::Running { weight, at_end });
                    }
                    Why::Accepted => assert_eq!(before, Some(State::Waiting)),
                    Why::Refused(_) => { assert_eq!(before, Some(State::Waiting)); known.remove(&ticket); }
                    Why::Ready | Why::Failed => panic!("a pool brings nothing"),
                    Why::Expired | Why::Revoked => match before {
                        Some(State::Running { at_end: AtEnd::Revoke, .. }) => { known.remove(&ticket); }
                        Some(State::Running { at_end: AtEnd::Abandon, .. }) => { known.insert(ticket, State::Abandoned); }
                        Some(State::Running { at_end: AtEnd::Hold, .. }) => {}
                        other => panic!("{other:?} cannot expire"),
                    },
                }
            }
            granted
        };
        for op in ops {
            let pick = |n: usize| {
                let mut tickets: Vec<_> = known.keys().copied().collect();
                tickets.sort_unstable();
                (!tickets.is_empty()).then(|| tickets[n % tickets.len()])
            };
            let asked = matches!(op, Op::Ask { .. });
            match op {
                Op::Ask { weight, priority, key, patience, run_for, at_end } => {
                    let patience = match patience { 0 => Patience::None, 39 => Patience::Forever, n => Patience::Micros(n) };
                    let answer = house.ask(Ask { weight, priority, key, patience, run_for, at_end, ..Ask::PLAIN });
                    match answer {
                        Admission::Granted(t) => {
                            known.insert(t, State::Running { weight, at_end });
                        }
                        Admission::Queued(t) | Admission::Outside(t) => {
                            known.insert(t, State::Waiting);
                            weights.insert(t, (weight, at_end));
                        }
                        Admission::Refused(_) => {}
                    }
                }
                Op::Release(n) => if let Some(ticket) = pick(n) {
                    known.remove(&ticket);
                    house.release(ticket);
                },
                Op::Cancel(n) => if let Some(ticket) = pick(n) {
                    match known[&ticket] {
                        State::Waiting => { known.remove(&ticket); }
                        State::Running { .. } | State::Abandoned => { known.insert(ticket, State::Abandoned); }
                    }
                    house.cancel(ticket);
                },
                Op::Resize(n) => {
                    capacity = n;
                    house.permits.resize(house.now, n, &mut OpenGate, &mut house.wakes);
                }
                Op::Tick(n) => house.pass(n),
                Op::StepBack(n) => house.now = Instant::from_micros(house.now.as_micros() - n),
                Op::Pause => house.permits.pause(),
                Op::Resume => house.permits.resume(house.now, &mut OpenGate, &mut house.wakes),
            }
            let granted = apply(&mut house, &mut known, &weights);
            let running: u32 = known.values().map(|s| match s { State::Running { weight, .. } => *weight, _ => 0 }).sum();
            let active = known.values().filter(|s| matches!(s, State::Running { .. })).count();
            let waiting = known.values().filter(|s| **s == State::Waiting).count();
            let abandoned = known.values().filter(|s| **s == State::Abandoned).count();
            prop_assert_eq!(running, house.permits.in_use());
            prop_assert_eq!(active as u32, house.permits.active());
            prop_assert_eq!(waiting as u32, house.permits.queued() + house.permits.waiting_for_room());
            prop_assert_eq!(abandoned as u32, house.permits.abandoned());
            // A shrunk pool may be over its bound until what ran finishes, but then it grants nothing.
            let over_its_bound = running > capacity && granted > 0;
            prop_assert!(!over_its_bound || !asked);
            if let Some(room) = room { prop_assert!(house.permits.queued() <= room); }
        }
        house.permits.resume(house.now, &mut OpenGate, &mut house.wakes);
        apply(&mut house, &mut known, &weights);
        while let Some(ticket) = known.keys().min().copied() {
            if known[&ticket] == State::Waiting {
                let holder = known.iter().find(|(_, s)| matches!(s, State::Running { .. })).map(|(t, _)| *t);
                let ticket = holder.unwrap_or(ticket);
                prop_assert!(holder.is_some(), "somebody waits and nobody runs");
                known.remove(&ticket);
                house.release(ticket);
            } else {
                known.remove(&ticket);
                house.release(ticket);
            }
            apply(&mut house, &mut known, &weights);
        }
        prop_assert!(house.permits.is_idle());
        prop_assert_eq!(house.permits.next_deadline(), None);
        prop_assert_eq!(house.permits.entries.len(), 0);
        prop_assert_eq!((house.permits.queued_weight, house.permits.queued_cost, house.permits.timed), (0, 0, 0));
    }
}

#[test]
fn a_pool_that_closes_cannot_be_paused() {
    let mut house = House::of(1, QueueConfig::default());
    let running = house.granted(Ask::PLAIN);
    let queued = house.queued(Ask::PLAIN);
    house
        .permits
        .close(house.now, false, u64::MAX, &mut OpenGate, &mut house.wakes);
    house.permits.pause();
    house.release(running);
    assert_eq!(house.wakes(), [(queued, Why::Granted)]);
}

#[test]
fn turnover_is_what_a_typical_run_leaves_of_a_slot() {
    let mut house = House::of(2, QueueConfig::default());
    assert_eq!(house.permits.turnover(), 0);
    let running = house.granted(Ask::PLAIN);
    house.pass(8000);
    house.release(running);
    assert_eq!(house.permits.turnover(), 2000);
}
