//! What is kept of a task from its arrival until it has settled.

use super::ask::{Ask, AtEnd, Patience};
use crate::machine::gate::Pass;
use crate::machine::queue::Standing;
use crate::machine::ticket::{Slab, Ticket};
use crate::machine::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Outside(Waiting),
    Queued(Waiting),
    Running(Running),
    Abandoned { arrived: Instant, started: Instant },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) standing: Standing,
    pub(super) arrived: Instant,
    pub(super) give_up: Instant,
    pub(super) deadline: Instant,
    pub(super) weight: u32,
    pub(super) cost: u32,
    pub(super) run_for: u64,
    pub(super) at_end: AtEnd,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) arrived: Instant,
    pub(super) started: Instant,
    pub(super) ends: Instant,
    pub(super) weight: u32,
    pub(super) cost: u32,
    pub(super) pass: Pass,
    pub(super) at_end: AtEnd,
}

pub(super) const NEVER: Instant = Instant::FAR_FUTURE;

pub(super) fn waiting_of(now: Instant, ask: &Ask, standing: Standing) -> Waiting {
    let give_up = match ask.patience {
        Patience::Micros(micros) => end_of(now, micros).min(ask.deadline),
        Patience::None | Patience::Forever => ask.deadline,
    };
    Waiting {
        standing,
        arrived: now,
        give_up,
        deadline: ask.deadline,
        weight: ask.weight.max(1),
        cost: ask.cost,
        run_for: ask.run_for,
        at_end: ask.at_end,
    }
}

pub(super) fn running_of(now: Instant, waiting: &Waiting, pass: Pass) -> Running {
    Running {
        arrived: waiting.arrived,
        started: now,
        ends: end_of(now, waiting.run_for).min(waiting.deadline),
        weight: waiting.weight,
        cost: waiting.cost,
        pass,
        at_end: waiting.at_end,
    }
}

pub(super) fn is_timed(entries: &Slab<Entry>, ticket: Ticket, at: Instant) -> bool {
    match entries.get(ticket) {
        Some(Entry::Queued(waiting) | Entry::Outside(waiting)) => waiting.give_up == at,
        Some(Entry::Running(run)) => run.ends == at,
        _ => false,
    }
}

pub(super) fn end_of(now: Instant, micros: u64) -> Instant {
    if micros == u64::MAX {
        NEVER
    } else {
        now.plus_micros(micros)
    }
}
