//! How hard the host is pressed, across the wasm boundary: what it measured goes in, what that comes to goes out.

use super::adaptive::strategy_of;
use super::{Shelf, duration_of, tell};
use crate::bindings::{LIST, at_world, instant_of};
use crate::machine::config::ConfigError;
use crate::machine::pressure::{
    Pressure, PressureAlert, PressureConfig, PressureLevel, PressureReading, PressureSample,
};
use wasm_bindgen::prelude::wasm_bindgen;

static MONITORS: Shelf<Pressure> = Shelf::new(0xf1);

/// Stands for what is not known, and for what did not happen.
const NONE: f64 = -1.0;

/// Makes a monitor. −1 when there can be no more.
#[wasm_bindgen]
pub fn pressure_open(interval_ms: f64, fair: f64, serious: f64, critical: f64, alert_above: f64) -> f64 {
    let config = || -> Result<PressureConfig, ConfigError> {
        PressureConfig::default()
            .interval(duration_of(interval_ms))?
            .levels(fair, serious, critical)?
            .alert_above(alert_above)
    };
    config().map_or(NONE, |config| MONITORS.put(Pressure::new(config)))
}

/// Forgets a monitor.
#[wasm_bindgen]
pub fn pressure_drop(id: u32) {
    MONITORS.remove(id);
}

/// Takes what the host measured; numbers below 0, and the level 0, are not known. Into the list: the level, the one before
/// where it changed, how busy it seems, the shares of wasm memory and of heap, the shares that raised an alert, whether to
/// take on less, and when the next sample is due.
#[wasm_bindgen]
pub fn pressure_sample(id: u32, now_ms: f64, lag_ms: f64, memory: f64, heap: f64, level: u32) {
    let reading = PressureReading {
        loop_lag: known(lag_ms).map(duration_of),
        memory: known(memory),
        heap: known(heap),
        external: match level {
            0 => None,
            1 => Some(PressureLevel::Nominal),
            2 => Some(PressureLevel::Fair),
            3 => Some(PressureLevel::Serious),
            _ => Some(PressureLevel::Critical),
        },
    };
    let numbers = MONITORS.at(id, |monitor| {
        let pressed = monitor.sample(instant_of(now_ms), reading);
        let alert = |alert: Option<PressureAlert>| number(alert.map(|alert| alert.share));
        let latest = monitor.latest();
        let measured = |of: fn(&PressureSample) -> Option<f64>| number(latest.and_then(of));
        [
            f64::from(monitor.level() as u32),
            number(pressed.change.map(|change| f64::from(change.from as u32))),
            measured(|sample| sample.busy),
            measured(|sample| sample.memory),
            measured(|sample| sample.heap),
            alert(pressed.memory_alert),
            alert(pressed.heap_alert),
            f64::from(u32::from(monitor.should_throttle())),
            monitor.next_deadline().as_millis_f64(),
        ]
    });
    if let Some(numbers) = numbers {
        at_world(|_, cells| cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers));
    }
}

/// The samples that are remembered, five numbers each: when, the level, how busy, wasm memory, heap. How many numbers.
#[wasm_bindgen]
pub fn pressure_history(id: u32) -> u32 {
    let numbers = MONITORS.at(id, |monitor| {
        let samples = monitor.history().flat_map(|sample| {
            [
                sample.at.as_millis_f64(),
                f64::from(sample.level as u32),
                number(sample.busy),
                number(sample.memory),
                number(sample.heap),
            ]
        });
        samples.collect()
    });
    tell(numbers.unwrap_or_default())
}

/// The alerts that are remembered, three numbers each: when, 0 for wasm memory or 1 for the heap, the share. How many numbers.
#[wasm_bindgen]
pub fn pressure_alerts(id: u32) -> u32 {
    let numbers = MONITORS.at(id, |monitor| {
        let alerts = monitor.alerts().flat_map(|alert| {
            [
                alert.at.as_millis_f64(),
                f64::from(alert.source as u32),
                alert.share,
            ]
        });
        alerts.collect()
    });
    tell(numbers.unwrap_or_default())
}

/// How many workers the machine bears by a strategy, with so many cores (0 unknown), so busy and with so much memory in use.
#[wasm_bindgen]
pub fn pressed_concurrency(strategy: u32, cores: u32, busy: f64, memory: f64) -> f64 {
    let workers = strategy_of(strategy)
        .under(known(busy), known(memory))
        .concurrency(Some(cores));
    f64::from(workers)
}

fn known(number: f64) -> Option<f64> {
    (number >= 0.0).then_some(number)
}

fn number(share: Option<f64>) -> f64 {
    share.unwrap_or(NONE)
}
