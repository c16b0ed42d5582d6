//! Retries across the wasm boundary.

use super::breaker::backoff_of;
use super::millis;
use super::{LIST, at_world, instant_of};
use crate::machine::retry::{Decision, Failed, GiveUp, RetryBudget, RetryConfig};
use crate::machine::wakes::MachineId;
use wasm_bindgen::prelude::wasm_bindgen;

/// Decides after a failure, by the 11 numbers in the list: attempts, initial, max, factor, jitter, deadline (infinite: none),
/// attempt, started, previous delay (−1: none), the server's retry-after (−1: none), budget (−1: none). The delay in
/// milliseconds, or −1 no attempts left, −2 the deadline, −3 the budget.
#[wasm_bindgen]
pub fn retry_decide(now_ms: f64) -> f64 {
    at_world(|world, cells| {
        let list = &cells[LIST..LIST + 11];
        let Ok(backoff) = backoff_of(list[1], list[2], list[3], list[4] as u32) else {
            return -1.0;
        };
        let Ok(mut config) = RetryConfig::default().attempts(list[0] as u32) else {
            return -1.0;
        };
        config = config.backoff(backoff);
        if list[5] != f64::INFINITY {
            config = config.deadline(millis(list[5]));
        }
        let optional = |ms: f64| (ms >= 0.0).then(|| millis(ms));
        let failed = Failed {
            attempt: list[6] as u32,
            started: instant_of(list[7]),
            previous_delay: optional(list[8]),
            retry_after: optional(list[9]),
        };
        let budget = (list[10] >= 0.0).then_some(MachineId(list[10] as u32));
        match world.retry_decide(instant_of(now_ms), &config, failed, budget) {
            Decision::Again { delay } => delay.as_secs_f64() * 1000.0,
            Decision::GiveUp {
                why: GiveUp::Attempts,
            } => -1.0,
            Decision::GiveUp {
                why: GiveUp::Deadline,
            } => -2.0,
            Decision::GiveUp { why: GiveUp::Budget } => -3.0,
        }
    })
}

/// Makes a budget for many calls to share; −1 when the numbers are wrong or there can be no more.
#[wasm_bindgen]
pub fn budget_open(ratio: f64, min_per_second: u32) -> f64 {
    at_world(|world, _| {
        RetryBudget::new(ratio, min_per_second)
            .ok()
            .and_then(|budget| world.open_retry_budget(budget))
            .map_or(-1.0, |id| f64::from(id.0))
    })
}

/// Forgets a budget.
#[wasm_bindgen]
pub fn budget_drop(budget: u32) {
    at_world(|world, _| world.drop_retry_budget(MachineId(budget)));
}

/// Counts a call.
#[wasm_bindgen]
pub fn budget_deposit(budget: u32, now_ms: f64) {
    at_world(|world, _| world.retry_deposit(instant_of(now_ms), MachineId(budget)));
}
