//! Task graphs across the wasm boundary. Names, functions and results stay with the host.

use super::{number_of, take_ids, tell};
use crate::bindings::{DETAIL, LIST, PASSED, REFUSED, at_world, instant_of, tagged, ticket_of};
use crate::machine::graph::{
    Graph, GraphConfig, GraphError, NewTask, OnFailure, Outcome, TaskEnd, TaskState,
};
use crate::machine::ticket::Ticket;
use crate::machine::time::Instant;
use crate::machine::wakes::{MachineId, Wakes};
use core::num::NonZeroU32;
use wasm_bindgen::prelude::wasm_bindgen;

/// Makes a graph. −1 when there can be no more.
#[wasm_bindgen]
pub fn graph_open() -> f64 {
    let config = GraphConfig {
        tells_ready: true,
        ..GraphConfig::default()
    };
    at_world(|world, _| world.open_graph(config).map_or(-1.0, number_of))
}

/// Forgets a graph.
#[wasm_bindgen]
pub fn graph_drop(graph: u32) {
    at_world(|world, _| world.drop_graph(MachineId(graph)));
}

/// Adds a task that depends on the pushed ids; what it does after a failure is 0 skip, 1 run, 2 what the graph does. Tag 0 with its
/// ticket, or 3 refused: 0 there is one of that id, 1 a cycle, whose ids are left to be read and as many as the detail
/// says, 2 a dependency is missing, which is the detail, 3 full.
#[wasm_bindgen]
pub fn graph_add(graph: u32, now_ms: f64, id: u32, priority: i32, weight: u32, on_failure: u32) -> f64 {
    let depends_on = take_ids();
    let new = NewTask {
        id,
        depends_on: &depends_on,
        priority,
        weight,
        on_failure: match on_failure {
            0 => Some(OnFailure::Skip),
            1 => Some(OnFailure::Run),
            _ => None,
        },
    };
    at_world(|world, cells| {
        let added = world.at_graph(MachineId(graph), |graph, wakes| {
            graph.add(instant_of(now_ms), new, wakes)
        });
        answer(added.unwrap_or(Err(GraphError::Full)), &mut cells[DETAIL])
    })
}

/// Adds a task that is over: 0 well, 1 badly, 2 cancelled, 3 skipped because of `blame`. Answers as [`graph_add`].
#[wasm_bindgen]
pub fn graph_adopt(graph: u32, now_ms: f64, id: u32, end: u32, blame: u32) -> f64 {
    let end = match end {
        0 => TaskEnd::Succeeded,
        1 => TaskEnd::Failed,
        2 => TaskEnd::Cancelled,
        _ => TaskEnd::Skipped { because_of: blame },
    };
    at_world(|world, cells| {
        let added = world.at_graph(MachineId(graph), |graph, _| {
            graph.adopt(instant_of(now_ms), id, end)
        });
        answer(added.unwrap_or(Err(GraphError::Full)), &mut cells[DETAIL])
    })
}

/// Begins. −1, or the id of a task with a dependency that is missing, which is the detail.
#[wasm_bindgen]
pub fn graph_begin(graph: u32, now_ms: f64, concurrency: u32, skips: u32) -> f64 {
    let now = instant_of(now_ms);
    at_world(|world, cells| {
        let begun = world.at_graph(MachineId(graph), |graph, wakes| {
            graph.set_on_failure(if skips == 0 {
                OnFailure::Run
            } else {
                OnFailure::Skip
            });
            graph.resize(
                now,
                NonZeroU32::new(concurrency).unwrap_or(NonZeroU32::MIN),
                wakes,
            );
            graph.begin(now, wakes)
        });
        match begun {
            Some(Err(GraphError::Missing { id, dependency })) => {
                cells[DETAIL] = f64::from(dependency);
                f64::from(id)
            }
            _ => -1.0,
        }
    })
}

/// Stops after an execution.
#[wasm_bindgen]
pub fn graph_rest(graph: u32) {
    at_graph(graph, |graph, _| graph.rest());
}

/// A task has ended, badly unless `failed` is 0. 0 when it does not run.
#[wasm_bindgen]
pub fn graph_end(graph: u32, now_ms: f64, ticket: f64, failed: u32) -> u32 {
    let outcome = if failed == 0 {
        Outcome::Succeeded
    } else {
        Outcome::Failed
    };
    let ended = at_graph(graph, |graph, wakes| {
        graph
            .end(instant_of(now_ms), ticket_of(ticket), outcome, wakes)
            .is_ok()
    });
    u32::from(ended == Some(true))
}

/// Cancels a task. 0 when it is over.
#[wasm_bindgen]
pub fn graph_cancel(graph: u32, now_ms: f64, ticket: f64) -> u32 {
    let cancelled = at_graph(graph, |graph, wakes| {
        graph.cancel(instant_of(now_ms), ticket_of(ticket), wakes).is_ok()
    });
    u32::from(cancelled == Some(true))
}

/// Cancels every task that is not over.
#[wasm_bindgen]
pub fn graph_cancel_all(graph: u32, now_ms: f64) {
    at_graph(graph, |graph, wakes| graph.cancel_all(instant_of(now_ms), wakes));
}

/// Into the list: when a task was added, ready, started and over, −1 where it was not, and because of whom it was skipped.
#[wasm_bindgen]
pub fn graph_read(graph: u32, ticket: f64) {
    at_world(|world, cells| {
        world.at_graph(MachineId(graph), |graph, _| {
            let ticket = ticket_of(ticket);
            let Some(timing) = graph.timing(ticket) else {
                return;
            };
            let moment = |at: Option<Instant>| at.map_or(-1.0, Instant::as_millis_f64);
            let because_of = match graph.state(ticket) {
                Some(TaskState::Ended(TaskEnd::Skipped { because_of })) => f64::from(because_of),
                _ => -1.0,
            };
            let numbers = [
                timing.added.as_millis_f64(),
                moment(timing.ready),
                moment(timing.started),
                moment(timing.ended),
                because_of,
            ];
            cells[LIST..LIST + numbers.len()].copy_from_slice(&numbers);
        });
    });
}

/// Into the list: tasks waiting, ready, running, succeeded, failed, skipped, cancelled.
#[wasm_bindgen]
pub fn graph_stats(graph: u32) {
    at_world(|world, cells| {
        world.at_graph(MachineId(graph), |graph, _| {
            let progress = graph.progress();
            let numbers = [
                progress.waiting,
                progress.ready,
                progress.running,
                progress.succeeded,
                progress.failed,
                progress.skipped,
                progress.cancelled,
            ];
            for (cell, number) in cells[LIST..].iter_mut().zip(numbers) {
                *cell = f64::from(number);
            }
        });
    });
}

/// Leaves the ids along the critical path to be read, with its running time in the detail; how many they are.
#[wasm_bindgen]
pub fn graph_critical_path(graph: u32) -> u32 {
    at_world(|world, cells| {
        let path = world.at_graph(MachineId(graph), |graph, _| graph.critical_path());
        let (path, time) = path.unwrap_or_default();
        cells[DETAIL] = time.as_micros() as f64 / 1000.0;
        tell(path.into_iter().map(f64::from).collect())
    })
}

fn at_graph<T>(graph: u32, call: impl FnOnce(&mut Graph, &mut Wakes) -> T) -> Option<T> {
    at_world(|world, _| world.at_graph(MachineId(graph), call))
}

pub(super) fn answer(added: Result<Ticket, GraphError>, detail: &mut f64) -> f64 {
    let code = match added {
        Ok(ticket) => return tagged(PASSED, ticket.to_bits()),
        Err(GraphError::Duplicate { .. }) => 0,
        Err(GraphError::Cycle { through }) => {
            *detail = f64::from(tell(through.into_iter().map(f64::from).collect()));
            1
        }
        Err(GraphError::Missing { dependency, .. }) => {
            *detail = f64::from(dependency);
            2
        }
        Err(GraphError::Full) => 3,
    };
    tagged(REFUSED, code)
}
