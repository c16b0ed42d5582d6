//! Plugins across the wasm boundary. Names, functions and results stay with the host.

use super::graph::answer;
use super::{number_of, take_ids};
use crate::bindings::{DETAIL, LIST, at_world, instant_of, ticket_of};
use crate::machine::graph::{GraphError, Outcome};
use crate::machine::orchestrator::{Mode, NewPlugin, Run, RunConfig, Status};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Wakes};
use core::num::NonZeroU32;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a register of plugins. −1 when there can be no more.
#[wasm_bindgen]
pub fn plugins_open() -> f64 {
    at_world(|world, _| world.open_orchestrator().map_or(-1.0, number_of))
}

/// Forgets a register of plugins.
#[wasm_bindgen]
pub fn plugins_drop(plugins: u32) {
    at_world(|world, _| world.drop_orchestrator(MachineId(plugins)));
}

/// Registers a plugin that needs the pushed ids; answers as `graph_add`, without a ticket.
#[wasm_bindgen]
pub fn plugins_register(plugins: u32, id: u32, active: u32, priority: i32, weight: u32) -> f64 {
    let needs = take_ids();
    let new = NewPlugin {
        id,
        mode: mode_of(active),
        priority,
        weight,
        needs: &needs,
    };
    at_world(|world, cells| {
        let registered = match world.orchestrator(MachineId(plugins)) {
            Some(plugins) => plugins.register(new),
            None => Err(GraphError::Full),
        };
        answer(registered.map(|()| Ticket::from_bits(0)), &mut cells[DETAIL])
    })
}

/// Begins a run without the plugins whose ids were pushed. −1 when there can be no more.
#[wasm_bindgen]
pub fn run_open(plugins: u32, now_ms: f64, active: u32, max_workers: u32) -> f64 {
    let unavailable = take_ids();
    let config = RunConfig {
        mode: mode_of(active),
        max_workers: NonZeroU32::new(max_workers).unwrap_or(NonZeroU32::MIN),
        ..RunConfig::default()
    };
    at_world(|world, _| {
        let Some(plugins) = world.orchestrator(MachineId(plugins)).cloned() else {
            return -1.0;
        };
        let run = world.open_run(instant_of(now_ms), &plugins, config, &unavailable);
        run.map_or(-1.0, number_of)
    })
}

/// Forgets a run.
#[wasm_bindgen]
pub fn run_drop(run: u32) {
    at_world(|world, _| world.drop_run(MachineId(run)));
}

/// The id of a ticket's plugin; −1 where there is none.
#[wasm_bindgen]
pub fn run_plugin(run: u32, ticket: f64) -> f64 {
    let plugin = at_run(run, |run, _| run.plugin(ticket_of(ticket)));
    plugin.flatten().map_or(-1.0, f64::from)
}

/// A plugin has ended, badly unless `failed` is 0. 0 when it does not run.
#[wasm_bindgen]
pub fn run_end(run: u32, now_ms: f64, ticket: f64, failed: u32) -> u32 {
    let outcome = if failed == 0 {
        Outcome::Succeeded
    } else {
        Outcome::Failed
    };
    let ended = at_run(run, |run, wakes| {
        run.end(instant_of(now_ms), ticket_of(ticket), outcome, wakes)
            .is_ok()
    });
    u32::from(ended == Some(true))
}

/// Cancels what is not over.
#[wasm_bindgen]
pub fn run_cancel(run: u32, now_ms: f64) {
    at_run(run, |run, wakes| run.cancel_all(instant_of(now_ms), wakes));
}

/// Changes the number of workers.
#[wasm_bindgen]
pub fn run_resize(run: u32, now_ms: f64, max_workers: u32) {
    let workers = NonZeroU32::new(max_workers).unwrap_or(NonZeroU32::MIN);
    at_run(run, |run, wakes| {
        run.set_max_workers(instant_of(now_ms), workers, wakes)
    });
}

/// Into the list, of a plugin's record: what became of it (0 pending, 1 succeeded, 2 failed, 3 skipped, 4 unavailable, 5
/// cancelled), because of whom, when it began and how many milliseconds it ran, −1 where there is none. 0 when the plugin is not of
/// this run.
#[wasm_bindgen]
pub fn run_record(run: u32, plugin: u32) -> u32 {
    at_world(|world, cells| {
        let record = world.at_run(MachineId(run), |run, _| run.record(plugin));
        let Some(record) = record.flatten() else {
            return 0;
        };
        let (status, because_of) = match record.status {
            Status::Pending => (0.0, -1.0),
            Status::Succeeded => (1.0, -1.0),
            Status::Failed => (2.0, -1.0),
            Status::Skipped { because_of } => (3.0, f64::from(because_of)),
            Status::Unavailable => (4.0, -1.0),
            Status::Cancelled => (5.0, -1.0),
        };
        let numbers = [
            status,
            because_of,
            record.start.map_or(-1.0, Instant::as_millis_f64),
            record
                .duration
                .map_or(-1.0, |duration| duration.as_micros() as f64 / 1000.0),
        ];
        cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers);
        1
    })
}

fn at_run<T>(run: u32, call: impl FnOnce(&mut Run, &mut Wakes) -> T) -> Option<T> {
    at_world(|world, _| world.at_run(MachineId(run), call))
}

fn mode_of(active: u32) -> Mode {
    if active == 0 { Mode::Passive } else { Mode::Active }
}
