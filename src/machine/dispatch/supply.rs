//! How many workers there are: when another is started, and when none can be had.

use super::waiting::Waiting;
use super::worker::{Stage, Worker};
use super::{Dispatch, GROW_AFTER, Intake, Order};
use crate::machine::time::{Instant, micros};
use std::collections::VecDeque;

pub(super) const BACKOFF_FIRST: u64 = 100_000;
pub(super) const BACKOFF_MOST: u64 = 10_000_000;
/// So many starts that fail, with none that succeeded, mean that there are no workers here.
pub(super) const HOPELESS_STARTS: u32 = 3;

/// Whether workers can be had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supply {
    pub(super) deaths_in_a_row: u32,
    pub(super) not_before: Instant,
    pub(super) ever_ready: bool,
    pub(super) hopeless: bool,
}

impl Supply {
    /// Nobody has tried yet.
    pub(super) const UNTRIED: Self = Self {
        deaths_in_a_row: 0,
        not_before: Instant::ZERO,
        ever_ready: false,
        hopeless: false,
    };
}

impl Dispatch {
    pub(super) fn wants_a_worker(&self) -> bool {
        let more = self.workers.len() < self.config.max as usize;
        let open = self.intake == Intake::Open;
        more && ((open && self.workers.len() < self.config.min as usize)
            || (self.unsent() > 0 && self.workers.is_empty()))
    }

    /// Starts the workers that there should be.
    pub(super) fn keep_up(&mut self, now: Instant) {
        while self.wants_a_worker() && self.spawn(now) {}
        let mut starting = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.stage == Stage::Starting)
            .count();
        while self.unsent() > starting && self.should_grow() && self.spawn(now) {
            starting += 1;
        }
        let may_grow = self.unsent() > starting && self.workers.len() < self.config.max as usize;
        self.grows_at = match self.grows_at {
            _ if !may_grow || self.supply.hopeless => None,
            None => Some(now + GROW_AFTER),
            armed => armed,
        };
    }

    /// Whether what waits would wait longer than a start takes, as far as anybody knows.
    pub(super) fn should_grow(&self) -> bool {
        let ready = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.stage == Stage::Ready);
        let (count, work) = ready.fold((0, 0u64), |(count, work), (_, worker)| {
            (count + 1, work + worker.work)
        });
        if count == 0 {
            return true;
        }
        let mut waits = work;
        for (kind, tasks) in &self.unsent {
            match self.kinds.get(kind) {
                None => return true,
                Some(cost) => waits += cost * tasks,
            }
        }
        waits > micros(GROW_AFTER) * count
    }

    pub(super) fn spawn(&mut self, now: Instant) -> bool {
        let full = self.workers.len() >= self.config.max as usize;
        if full || now < self.supply.not_before || self.supply.hopeless {
            return false;
        }
        let worker = Worker {
            stage: Stage::Starting,
            sent: VecDeque::new(),
            work: 0,
            backlog: Waiting::default(),
            idle_since: now,
            answered: 0,
        };
        match self.workers.insert(worker) {
            Ok(worker) => {
                self.counts.spawned += 1;
                self.orders.push_back(Order::Spawn(worker));
                true
            }
            Err(_) => false,
        }
    }
}
