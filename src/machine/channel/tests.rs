use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

struct Bench {
    channel: Channel,
    selects: Selects,
    wakes: Wakes,
    now: Instant,
}

impl Bench {
    fn new(capacity: u32) -> Self {
        Self {
            channel: Channel::new(capacity),
            selects: Selects::new(),
            wakes: Wakes::new(),
            now: Instant::ZERO,
        }
    }

    fn send(&mut self, value: u64, patience: Patience) -> Send {
        let Self {
            channel,
            selects,
            wakes,
            now,
        } = self;
        channel.send(*now, value, patience, None, selects, wakes)
    }

    fn receive(&mut self, patience: Patience) -> Receive {
        let Self {
            channel,
            selects,
            wakes,
            now,
        } = self;
        channel.receive(*now, patience, None, selects, wakes)
    }

    fn cancel(&mut self, ticket: Ticket) -> Result<Left, StaleTicket> {
        let Self {
            channel,
            selects,
            wakes,
            now,
        } = self;
        channel.cancel(*now, ticket, selects, wakes)
    }

    fn close(&mut self) {
        let Self {
            channel,
            selects,
            wakes,
            now,
        } = self;
        channel.close(*now, selects, wakes);
    }

    fn at(&mut self, micros: u64) {
        self.now = Instant::from_micros(micros);
        let Self {
            channel,
            selects,
            wakes,
            now,
        } = self;
        channel.on_deadline(*now, selects, wakes);
    }

    fn woken(&mut self) -> Option<(Ticket, Why)> {
        self.wakes.pop().map(|wake| (wake.ticket, wake.why))
    }
}

fn sent(answer: Send) -> Ticket {
    match answer {
        Send::Waiting(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn awaited(answer: Receive) -> Ticket {
    match answer {
        Receive::Waiting(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_value_counts_as_received_once_however_it_came() {
    let mut bench = Bench::new(1);
    let Receive::Waiting(ticket) = bench.receive(Patience::Forever) else {
        panic!("there is nothing yet")
    };
    bench.send(1, Patience::None);
    assert_eq!(bench.channel.claim(ticket), Ok(1));
    assert_eq!(bench.channel.claim(ticket), Err(StaleTicket));
    bench.send(2, Patience::None);
    bench.receive(Patience::None);
    assert_eq!((bench.channel.sent(), bench.channel.received), (2, 2));
    let mut rendezvous = Bench::new(0);
    rendezvous.send(3, Patience::Forever);
    rendezvous.receive(Patience::None);
    assert_eq!(
        (rendezvous.channel.capacity(), rendezvous.channel.received),
        (0, 1)
    );
}

#[test]
fn a_full_channel_makes_senders_wait_and_serves_them_in_order() {
    let mut b = Bench::new(1);
    assert_eq!(b.send(1, Patience::Forever), Send::Sent);
    let second = sent(b.send(2, Patience::Forever));
    let third = sent(b.send(3, Patience::Forever));
    assert_eq!(b.receive(Patience::None), Receive::Received(1));
    assert_eq!(b.woken(), Some((second, Why::Granted)));
    assert_eq!(b.woken(), None);
    assert_eq!(b.receive(Patience::None), Receive::Received(2));
    assert_eq!(b.woken(), Some((third, Why::Granted)));
    assert_eq!(b.receive(Patience::None), Receive::Received(3));
    assert_eq!(b.receive(Patience::None), Receive::Refused(Refusal::NotNow));
}

#[test]
fn at_capacity_zero_a_value_changes_hands_only_when_both_are_there() {
    let mut b = Bench::new(0);
    assert_eq!(b.send(1, Patience::None), Send::Refused(Refusal::NotNow));
    let receiver = awaited(b.receive(Patience::Forever));
    assert_eq!(b.send(2, Patience::None), Send::Sent);
    assert_eq!(b.woken(), Some((receiver, Why::Granted)));
    assert_eq!(b.channel.claim(receiver), Ok(2));
    assert_eq!(b.channel.claim(receiver), Err(StaleTicket));
    let sender = sent(b.send(3, Patience::Forever));
    assert_eq!(b.receive(Patience::None), Receive::Received(3));
    assert_eq!(b.woken(), Some((sender, Why::Granted)));
}

#[test]
fn waits_before_t_and_is_turned_away_at_t() {
    let mut b = Bench::new(0);
    let sender = sent(b.send(1, Patience::Micros(10)));
    assert_eq!(b.channel.next_deadline(), Some(Instant::from_micros(10)));
    b.at(9);
    assert_eq!(b.woken(), None);
    b.at(10);
    assert_eq!(b.woken(), Some((sender, Why::Refused(Refusal::QueueTimeout))));
    assert_eq!(b.receive(Patience::None), Receive::Refused(Refusal::NotNow));
}

#[test]
fn closing_keeps_what_is_buffered_and_turns_away_those_who_wait_to_send() {
    let mut b = Bench::new(1);
    b.send(1, Patience::Forever);
    let waiting = sent(b.send(2, Patience::Forever));
    b.close();
    assert_eq!(b.woken(), Some((waiting, Why::Refused(Refusal::Closed))));
    assert_eq!(b.send(3, Patience::Forever), Send::Refused(Refusal::Closed));
    assert_eq!(b.receive(Patience::Forever), Receive::Received(1));
    assert_eq!(b.receive(Patience::Forever), Receive::Refused(Refusal::Closed));
    b.close();
    assert_eq!(b.woken(), None);
}

#[test]
fn closing_wakes_those_who_wait_to_receive() {
    let mut b = Bench::new(1);
    let receiver = awaited(b.receive(Patience::Forever));
    b.close();
    assert_eq!(b.woken(), Some((receiver, Why::Refused(Refusal::Closed))));
}

#[test]
fn a_sender_that_leaves_keeps_its_value() {
    let mut b = Bench::new(0);
    let sender = sent(b.send(7, Patience::Forever));
    assert_eq!(b.cancel(sender), Ok(Left::Unsent(7)));
    assert_eq!(b.cancel(sender), Err(StaleTicket));
    assert_eq!(b.receive(Patience::None), Receive::Refused(Refusal::NotNow));
}

#[test]
fn a_value_handed_to_one_who_left_goes_to_the_next_and_keeps_its_place() {
    let mut b = Bench::new(2);
    let first = awaited(b.receive(Patience::Forever));
    let second = awaited(b.receive(Patience::Forever));
    b.send(1, Patience::None);
    b.send(2, Patience::None);
    let third = awaited(b.receive(Patience::Forever));
    b.cancel(first).unwrap();
    assert_eq!(b.channel.claim(third), Ok(1));
    b.send(3, Patience::None);
    b.cancel(second).unwrap();
    assert_eq!(b.receive(Patience::None), Receive::Received(2));
    assert_eq!(b.receive(Patience::None), Receive::Received(3));
}

#[test]
fn exactly_one_of_a_select_wins() {
    let mut b = Bench::new(0);
    let mut other = Channel::new(1);
    let select = b.selects.open().unwrap();
    let here = awaited(b.channel.receive(
        b.now,
        Patience::Forever,
        Some(select),
        &mut b.selects,
        &mut b.wakes,
    ));
    let there = awaited(other.receive(
        b.now,
        Patience::Forever,
        Some(select),
        &mut b.selects,
        &mut b.wakes,
    ));
    assert_eq!(b.send(1, Patience::None), Send::Sent);
    assert_eq!(b.woken(), Some((here, Why::Granted)));
    // The host has not told the other channel yet, and a sender comes: it does not meet the loser.
    let answer = other.send(b.now, 2, Patience::None, None, &mut b.selects, &mut b.wakes);
    assert_eq!(answer, Send::Sent);
    assert_eq!(b.woken(), None);
    assert_eq!(other.len(), 1);
    assert_eq!(other.waiting_to_receive(&b.selects), 0);
    other.cancel(b.now, there, &mut b.selects, &mut b.wakes).unwrap();
    assert_eq!(b.channel.claim(here), Ok(1));
}

#[test]
fn a_select_that_could_send_and_receive_on_one_channel_does_not_meet_itself() {
    let mut b = Bench::new(0);
    let select = b.selects.open();
    let Bench {
        channel,
        selects,
        wakes,
        now,
    } = &mut b;
    let sender = sent(channel.send(*now, 1, Patience::Forever, select, selects, wakes));
    awaited(channel.receive(*now, Patience::Forever, select, selects, wakes));
    assert_eq!(b.receive(Patience::None), Receive::Received(1));
    assert_eq!(b.woken(), Some((sender, Why::Granted)));
    assert_eq!(b.send(2, Patience::None), Send::Refused(Refusal::NotNow));
}

#[test]
fn a_select_times_out_once() {
    let mut b = Bench::new(0);
    let select = b.selects.open();
    let Bench {
        channel,
        selects,
        wakes,
        now,
    } = &mut b;
    let first = awaited(channel.receive(*now, Patience::Micros(5), select, selects, wakes));
    awaited(channel.receive(*now, Patience::Micros(5), select, selects, wakes));
    b.at(5);
    assert_eq!(b.woken(), Some((first, Why::Refused(Refusal::QueueTimeout))));
    assert_eq!(b.woken(), None);
}

proptest! {
    #[test]
    fn no_value_is_lost_or_received_twice_and_both_sides_are_served_in_order(
        capacity in 0u32..3,
        ops in prop::collection::vec((0u8..8, 0u64..12), 1..120),
    ) {
        let mut b = Bench::new(capacity);
        let mut senders: BTreeMap<Ticket, u64> = BTreeMap::new();
        let mut receivers: BTreeSet<Ticket> = BTreeSet::new();
        let mut handed: BTreeSet<Ticket> = BTreeSet::new();
        let mut in_line: [Vec<Ticket>; 2] = Default::default();
        let (mut inside, mut received) = (BTreeSet::new(), BTreeSet::new());
        for (n, (op, pick)) in ops.into_iter().enumerate() {
            let value = n as u64;
            let patience = match pick { 0 => Patience::None, 1..4 => Patience::Micros(pick), _ => Patience::Forever };
            let mut got = None;
            match op {
                0..=2 => match b.send(value, patience) {
                    Send::Sent => { inside.insert(value); }
                    Send::Waiting(t) => { senders.insert(t, value); in_line[0].push(t); }
                    Send::Refused(_) => {}
                },
                3 | 4 => match b.receive(patience) {
                    Receive::Received(value) => got = Some(value),
                    Receive::Waiting(t) => { receivers.insert(t); in_line[1].push(t); }
                    Receive::Refused(_) => {}
                },
                5 => {
                    let all: Vec<Ticket> = senders.keys().chain(&receivers).chain(&handed).copied().collect();
                    if !all.is_empty() {
                        let t = all[pick as usize % all.len()];
                        match b.cancel(t).unwrap() {
                            Left::Unsent(value) => prop_assert_eq!(senders.remove(&t), Some(value)),
                            Left::Empty => { receivers.remove(&t); handed.remove(&t); }
                        }
                        in_line.iter_mut().for_each(|line| line.retain(|other| *other != t));
                    }
                }
                6 => { let at = b.now.as_micros() + pick; b.at(at); }
                _ => if let Some(t) = handed.pop_first() { got = Some(b.channel.claim(t).unwrap()) },
            }
            if pick == 11 && n > 80 { b.close(); }
            while let Some((t, why)) = b.woken() {
                let side = usize::from(receivers.contains(&t));
                if why == Why::Granted {
                    prop_assert_eq!(in_line[side].first(), Some(&t), "somebody barged");
                    if side == 1 { receivers.remove(&t); handed.insert(t); }
                    else { inside.insert(senders.remove(&t).unwrap()); }
                } else {
                    senders.remove(&t);
                    receivers.remove(&t);
                }
                in_line[side].retain(|other| *other != t);
            }
            if let Some(value) = got {
                prop_assert!(inside.remove(&value), "received what was not sent");
                prop_assert!(received.insert(value));
            }
            prop_assert_eq!(inside.len(), b.channel.len() + handed.len());
            prop_assert_eq!(senders.len(), b.channel.waiting_to_send(&b.selects));
            prop_assert_eq!(receivers.len(), b.channel.waiting_to_receive(&b.selects));
            prop_assert!(receivers.is_empty() || (b.channel.is_empty() && senders.is_empty()));
            prop_assert!(senders.is_empty() || b.channel.len() >= capacity as usize);
            prop_assert!(!b.channel.is_closed() || (senders.is_empty() && receivers.is_empty()));
        }
    }

    #[test]
    fn of_each_select_exactly_one_operation_wins(
        ops in prop::collection::vec((0usize..3, any::<bool>(), 0u8..6), 1..80),
    ) {
        let mut channels = [Channel::new(0), Channel::new(1), Channel::new(2)];
        let (mut selects, mut wakes) = (Selects::new(), Wakes::new());
        let mut open: Vec<Ticket> = Vec::new();
        let mut belongs: BTreeMap<(usize, Ticket), Ticket> = BTreeMap::new();
        let mut wins: BTreeMap<Ticket, u32> = BTreeMap::new();
        for (n, (at, sends, with)) in ops.into_iter().enumerate() {
            if with == 0 { open.push(selects.open().unwrap()); }
            let select = if with < 4 { open.get(n % open.len().max(1)).copied() } else { None };
            if select.is_some_and(|s| wins.contains_key(&s)) { continue; }
            wakes.of(crate::machine::wakes::MachineId(at as u32));
            let now = Instant::ZERO;
            let channel = &mut channels[at];
            let (ticket, won) = if sends {
                match channel.send(now, n as u64, Patience::Forever, select, &mut selects, &mut wakes) {
                    Send::Waiting(t) => (Some(t), false),
                    answer => (None, answer == Send::Sent),
                }
            } else {
                match channel.receive(now, Patience::Forever, select, &mut selects, &mut wakes) {
                    Receive::Waiting(t) => (Some(t), false),
                    answer => (None, matches!(answer, Receive::Received(_))),
                }
            };
            if let Some(select) = select {
                if won { *wins.entry(select).or_default() += 1; }
                if let Some(ticket) = ticket { belongs.insert((at, ticket), select); }
            }
            while let Some(wake) = wakes.pop() {
                if let Some(select) = belongs.get(&(wake.machine.0 as usize, wake.ticket)) {
                    *wins.entry(*select).or_default() += 1;
                    prop_assert!(!selects.is_open(*select));
                }
            }
            prop_assert!(wins.values().all(|n| *n == 1), "{:?}", wins);
        }
    }
}
