//! Breakers across the wasm boundary. Rules come through the list of the reply area, in the order of `js/breaker-options.ts`.

use super::{AREA_CELLS, DETAIL, LIST, at_world, instant_of, millis, outcome_of, refusal_code};
use crate::machine::backoff::{Backoff, Jitter};
use crate::machine::breaker::{BreakerConfig, BreakerSnapshot, BreakerState, Window};
use crate::machine::config::ConfigError;
use crate::machine::gate::Pass;
use crate::machine::wakes::MachineId;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a breaker of the 14 numbers in the list; with `restored`, of 4 more that say where it was. −1 when they are wrong
/// or there can be no more.
#[wasm_bindgen]
pub fn breaker_open(now_ms: f64, restored: bool) -> f64 {
    at_world(|world, cells| {
        let list = &cells[LIST..];
        let Ok(config) = config_of(list) else { return -1.0 };
        let id = if restored {
            world.restore_breaker(instant_of(now_ms), config, snapshot_of(&list[14..]))
        } else {
            world.open_breaker(config)
        };
        id.map_or(-1.0, |id| f64::from(id.0))
    })
}

/// Forgets a breaker.
#[wasm_bindgen]
pub fn breaker_drop(breaker: u32) {
    at_world(|world, _| world.drop_breaker(MachineId(breaker)));
}

/// Lets a call begin: its pass, or −1 minus the code of the refusal.
#[wasm_bindgen]
pub fn breaker_admit(breaker: u32, now_ms: f64) -> f64 {
    at_world(
        |world, cells| match world.breaker_admit(instant_of(now_ms), MachineId(breaker)) {
            Ok(pass) => f64::from(pass.0),
            Err(refusal) => -1.0 - f64::from(refusal_code(refusal, &mut cells[DETAIL])),
        },
    )
}

/// Judges a call that was admitted.
#[wasm_bindgen]
pub fn breaker_record(breaker: u32, now_ms: f64, pass: f64, outcome: u32, took_ms: f64) {
    at_world(|world, _| {
        let pass = Pass(pass as u32);
        let took = millis(took_ms);
        world.breaker_record(
            instant_of(now_ms),
            MachineId(breaker),
            pass,
            outcome_of(outcome),
            took,
        );
    });
}

/// Turns everybody away until it is lifted.
#[wasm_bindgen]
pub fn breaker_isolate(breaker: u32, now_ms: f64) {
    at_world(|world, _| world.breaker_isolate(instant_of(now_ms), MachineId(breaker)));
}

/// Takes one isolation back.
#[wasm_bindgen]
pub fn breaker_lift(breaker: u32, now_ms: f64) {
    at_world(|world, _| world.breaker_lift(instant_of(now_ms), MachineId(breaker)));
}

/// 0 closed, 1 open, 2 half-open, 3 isolated.
#[wasm_bindgen]
pub fn breaker_state(breaker: u32, now_ms: f64) -> u32 {
    at_world(|world, _| {
        world
            .breaker_state(instant_of(now_ms), MachineId(breaker))
            .map_or(0, |state| state as u32)
    })
}

/// Into the list: state, milliseconds it stays open, failures in a row, openings, successes, failures, ignored, refused,
/// opened. 0 when there is no such breaker.
#[wasm_bindgen]
pub fn breaker_stats(breaker: u32, now_ms: f64) -> u32 {
    at_world(|world, cells| {
        let id = MachineId(breaker);
        let Some(snapshot) = world.breaker_snapshot(instant_of(now_ms), id) else {
            return 0;
        };
        let Some(counts) = world.breaker(id).map(|breaker| *breaker.counts()) else {
            return 0;
        };
        let numbers = [
            f64::from(snapshot.state as u8),
            snapshot.open_for.as_secs_f64() * 1000.0,
            f64::from(snapshot.consecutive),
            f64::from(snapshot.openings),
            counts.successes as f64,
            counts.failures as f64,
            counts.ignored as f64,
            counts.refused as f64,
            counts.opened as f64,
        ];
        cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers);
        1
    })
}

/// Takes the oldest change of a breaker into the list: breaker, state before, state now. 0 when there is none.
#[wasm_bindgen]
pub fn breaker_change() -> u32 {
    at_world(|world, cells| {
        let Some((id, change)) = world.breaker_change() else {
            return 0;
        };
        cells[LIST] = f64::from(id.0);
        cells[LIST + 1] = f64::from(change.from as u8);
        cells[LIST + 2] = f64::from(change.to as u8);
        1
    })
}

fn config_of(list: &[f64]) -> Result<BreakerConfig, ConfigError> {
    const _: () = assert!(AREA_CELLS >= LIST + 18);
    let mut config = BreakerConfig::default();
    if list[0] > 0.0 {
        config = config.consecutive(list[0] as u32)?;
    }
    if list[1] > 0.0 {
        let window = if list[2] == 0.0 {
            Window::Count(list[3] as u32)
        } else {
            Window::Time(millis(list[3]))
        };
        config = config.ratio(list[1], window, list[4] as u32)?;
    }
    if list[5] >= 0.0 {
        config = config.slow(millis(list[5]), list[6])?;
    }
    config = if list[9] > 0.0 {
        config.open_for_growing(backoff_of(list[7], list[8], list[9], list[10] as u32)?)?
    } else {
        config.open_for(millis(list[7]))?
    };
    config.half_open(list[11] as u32, list[12] as u32, millis(list[13]))
}

fn snapshot_of(list: &[f64]) -> BreakerSnapshot {
    BreakerSnapshot {
        state: match list[0] as u32 {
            1 => BreakerState::Open,
            2 => BreakerState::HalfOpen,
            3 => BreakerState::Isolated,
            _ => BreakerState::Closed,
        },
        open_for: millis(list[1]),
        consecutive: list[2] as u32,
        openings: list[3] as u32,
    }
}

pub(super) fn backoff_of(
    initial_ms: f64,
    max_ms: f64,
    factor: f64,
    jitter: u32,
) -> Result<Backoff, ConfigError> {
    let jitter = match jitter {
        1 => Jitter::Equal,
        2 => Jitter::Decorrelated,
        3 => Jitter::None,
        _ => Jitter::Full,
    };
    Backoff::new(millis(initial_ms), millis(max_ms), factor, jitter)
}
