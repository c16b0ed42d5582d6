//! Limits that find themselves, and what is reckoned ahead, across the wasm boundary.

use super::{Shelf, duration_of};
use crate::bindings::{LIST, at_world, instant_of};
use crate::machine::adaptive::{
    Adaptive, AdaptiveConfig, Algorithm, Ending, Sample, Strategy, optimal_concurrency, predict,
};
use crate::machine::config::ConfigError;
use wasm_bindgen::prelude::wasm_bindgen;

static LIMITS: Shelf<Adaptive> = Shelf::new(0xf0);

/// Makes a limit. Numbers below 0 stand for what is not set. −1 when there can be no more.
#[allow(clippy::too_many_arguments)] // A boundary of numbers has no structs.
#[wasm_bindgen]
pub fn adaptive_open(
    algorithm: u32,
    min: u32,
    max: u32,
    initial: u32,
    interval_ms: f64,
    target_ms: f64,
    up_above: f64,
    down_below: f64,
    factor: f64,
) -> f64 {
    let config = || -> Result<AdaptiveConfig, ConfigError> {
        let algorithm = match algorithm {
            0 => Algorithm::Aimd,
            1 => Algorithm::Gradient,
            2 => Algorithm::Vegas,
            _ => Algorithm::Threshold,
        };
        let mut config = AdaptiveConfig::new(algorithm, min, max)?
            .initial(initial)?
            .thresholds(up_above, down_below)?;
        if interval_ms >= 0.0 {
            config = config.interval(duration_of(interval_ms));
        }
        if target_ms >= 0.0 {
            config = config.target(duration_of(target_ms))?;
        }
        if factor >= 0.0 {
            config = config.factor(factor)?;
        }
        Ok(config)
    };
    config().map_or(-1.0, |config| LIMITS.put(Adaptive::new(config)))
}

/// Forgets a limit.
#[wasm_bindgen]
pub fn adaptive_drop(id: u32) {
    LIMITS.remove(id);
}

/// Takes how a call went: 0 well, 1 badly, 2 because of load. A queue without end has the capacity `Infinity`. The limit from now on.
#[allow(clippy::too_many_arguments)]
#[wasm_bindgen]
pub fn adaptive_sample(
    id: u32,
    now_ms: f64,
    latency_ms: f64,
    in_flight: u32,
    queued: u32,
    queue_capacity: f64,
    ending: u32,
) -> f64 {
    let sample = Sample {
        latency: duration_of(latency_ms),
        in_flight,
        queued,
        queue_capacity: (queue_capacity != f64::INFINITY).then_some(queue_capacity as u32),
        ending: match ending {
            0 => Ending::Done,
            1 => Ending::Failed,
            _ => Ending::Dropped,
        },
    };
    let limit = LIMITS.at(id, |limit| {
        limit.sample(instant_of(now_ms), sample);
        limit.limit()
    });
    limit.map_or(0.0, f64::from)
}

/// Holds a limit at or below a ceiling, with 0 no longer. The limit from now on.
#[wasm_bindgen]
pub fn adaptive_ceiling(id: u32, ceiling: u32) -> f64 {
    let limit = LIMITS.at(id, |limit| {
        limit.set_ceiling((ceiling > 0).then_some(ceiling));
        limit.limit()
    });
    limit.map_or(0.0, f64::from)
}

pub(super) fn strategy_of(number: u32) -> Strategy {
    match number {
        0 => Strategy::Conservative,
        1 => Strategy::Balanced,
        _ => Strategy::Aggressive,
    }
}

/// Reckons how many calls at once use a rate up: the concurrency, the buffer and the timeout, into the list.
#[wasm_bindgen]
pub fn optimal_for(rate: f64, latency_ms: f64, error_rate: f64) {
    let optimal = optimal_concurrency(rate, duration_of(latency_ms), error_rate);
    at_world(|_, cells| {
        cells[LIST] = f64::from(optimal.concurrency);
        cells[LIST + 1] = f64::from(optimal.buffer);
        cells[LIST + 2] = millis(optimal.timeout);
    });
}

/// Predicts how long items take, how many end in a second and how long one waits, into the list.
#[wasm_bindgen]
pub fn predict_for(items: f64, latency_ms: f64, concurrency: u32) {
    let prediction = predict(items as u64, duration_of(latency_ms), concurrency);
    at_world(|_, cells| {
        cells[LIST] = millis(prediction.duration);
        cells[LIST + 1] = prediction.throughput;
        cells[LIST + 2] = millis(prediction.wait);
    });
}

fn millis(duration: core::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
