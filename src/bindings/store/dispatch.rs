//! The dispatch of a pool of workers across the wasm boundary. Arguments and results stay with the host; names of functions
//! are numbers.

use super::{duration_of, number_of, refused, tell};
use crate::bindings::{DETAIL, LIST, PASSED, at_world, instant_of, micros_of, tagged, ticket_of};
use crate::machine::dispatch::{
    Answer, Cancelled, Dispatch, DispatchConfig, DispatchCounts, Fault, Job, Order, Overflow, Turn, chunk,
};
use crate::machine::ticket::Ticket;
use crate::machine::wakes::{MachineId, Refusal};
use wasm_bindgen::prelude::wasm_bindgen;

use super::LOOK;

/// Makes a dispatch. Infinity is no limit; `overflow` is 0 error, 1 drop the newest, 2 drop the oldest. −1 when there can
/// be no more.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn dispatch_open(
    min: u32,
    max: u32,
    round_robin: u32,
    idle_ms: f64,
    task_timeout_ms: f64,
    recycle_after: f64,
    high_water: f64,
    retries: u32,
    capacity: f64,
    overflow: u32,
) -> f64 {
    let Ok(mut config) = DispatchConfig::new(min, max) else {
        return -1.0;
    };
    if round_robin != 0 {
        config = config.with_turn(Turn::RoundRobin);
    }
    if idle_ms.is_finite() {
        config = config.with_idle(duration_of(idle_ms));
    }
    if task_timeout_ms.is_finite() {
        config = config.with_task_timeout(duration_of(task_timeout_ms));
    }
    if recycle_after.is_finite() {
        config = config.with_recycle_after(recycle_after as u32).unwrap_or(config);
    }
    if high_water.is_finite() {
        config = config.with_high_water(high_water as u64);
    }
    if capacity.is_finite() {
        let overflow = match overflow {
            0 => Overflow::Error,
            1 => Overflow::DropNewest,
            _ => Overflow::DropOldest,
        };
        config = config.with_capacity(capacity as u32, overflow);
    }
    let config = config.with_retries(retries);
    at_world(|world, _| world.open_dispatch(config).map_or(-1.0, number_of))
}

/// Forgets a dispatch and its tasks.
#[wasm_bindgen]
pub fn dispatch_drop(dispatch: u32) {
    at_world(|world, _| world.drop_dispatch(MachineId(dispatch)));
}

/// Starts the minimum of workers.
#[wasm_bindgen]
pub fn dispatch_start(dispatch: u32, now_ms: f64) {
    at_dispatch(dispatch, |dispatch| dispatch.open(instant_of(now_ms)));
}

/// Takes a task in: tag 0 with its ticket, 3 refused. A negative key is none, an infinite timeout the pool's own.
#[wasm_bindgen]
pub fn dispatch_submit(
    dispatch: u32,
    now_ms: f64,
    kind: u32,
    priority: i32,
    key: f64,
    idempotent: u32,
    timeout_ms: f64,
) -> f64 {
    let job = Job {
        kind,
        priority,
        key: (key >= 0.0).then_some(key as u32),
        idempotent: idempotent != 0,
        timeout: timeout_ms.is_finite().then(|| micros_of(timeout_ms)),
    };
    let answer = at_dispatch(dispatch, |dispatch| dispatch.submit(instant_of(now_ms), job));
    match answer.unwrap_or(Err(Refusal::Closed)) {
        Ok(ticket) => tagged(PASSED, ticket.to_bits()),
        Err(refusal) => at_world(|_, cells| refused(refusal, &mut cells[DETAIL])),
    }
}

/// Sends busy workers what has gathered.
#[wasm_bindgen]
pub fn dispatch_flush(dispatch: u32, now_ms: f64) {
    at_dispatch(dispatch, |dispatch| dispatch.flush(instant_of(now_ms)));
}

/// A worker has started.
#[wasm_bindgen]
pub fn dispatch_ready(dispatch: u32, now_ms: f64, worker: f64) {
    at_dispatch(dispatch, |dispatch| {
        dispatch.ready(instant_of(now_ms), ticket_of(worker)).is_ok()
    });
}

/// A worker has answered a task, after so many milliseconds unless that is negative: 0 it is nobody's, 1 settle it, 2 nobody
/// waits for it. A flush is due after the last of several.
#[wasm_bindgen]
pub fn dispatch_answered(dispatch: u32, now_ms: f64, worker: f64, task: f64, ran_ms: f64) -> u32 {
    let ran = (ran_ms >= 0.0).then(|| duration_of(ran_ms));
    let answer = at_dispatch(dispatch, |dispatch| {
        dispatch.answered(instant_of(now_ms), ticket_of(worker), ticket_of(task), ran)
    });
    match answer {
        Some(Ok(Answer::Deliver)) => 1,
        Some(Ok(Answer::Discard)) => 2,
        _ => 0,
    }
}

/// Takes a task back: −2 it is nobody's, −1 no worker has it, else the worker to tell, which has so long to end it.
#[wasm_bindgen]
pub fn dispatch_cancel(dispatch: u32, now_ms: f64, task: f64, grace_ms: f64) -> f64 {
    let cancelled = at_dispatch(dispatch, |dispatch| {
        dispatch.cancel(instant_of(now_ms), ticket_of(task), micros_of(grace_ms))
    });
    match cancelled {
        Some(Ok(Cancelled::Unsent)) => -1.0,
        Some(Ok(Cancelled::Tell(worker))) => worker.to_bits() as f64,
        _ => -2.0,
    }
}

/// A worker has died or could not be started.
#[wasm_bindgen]
pub fn dispatch_crashed(dispatch: u32, now_ms: f64, worker: f64) {
    at_dispatch(dispatch, |dispatch| {
        dispatch.crashed(instant_of(now_ms), ticket_of(worker)).is_ok()
    });
}

/// A task has broken its worker, which has begun none of those behind it.
#[wasm_bindgen]
pub fn dispatch_trapped(dispatch: u32, now_ms: f64, worker: f64, task: f64) {
    at_dispatch(dispatch, |dispatch| {
        dispatch
            .trapped(instant_of(now_ms), ticket_of(worker), ticket_of(task))
            .is_ok()
    });
}

/// There are no workers to be had.
#[wasm_bindgen]
pub fn dispatch_give_up(dispatch: u32) {
    at_dispatch(dispatch, Dispatch::give_up);
}

/// How much memory a worker has taken.
#[wasm_bindgen]
pub fn dispatch_memory(dispatch: u32, now_ms: f64, worker: f64, bytes: f64) {
    at_dispatch(dispatch, |dispatch| {
        dispatch
            .memory(instant_of(now_ms), ticket_of(worker), bytes as u64)
            .is_ok()
    });
}

/// Stops the intake; rejects what no worker has unless `reject` is 0.
#[wasm_bindgen]
pub fn dispatch_close(dispatch: u32, now_ms: f64, reject: u32) {
    at_dispatch(dispatch, |dispatch| {
        dispatch.close(instant_of(now_ms), reject != 0)
    });
}

/// Ends all workers at once.
#[wasm_bindgen]
pub fn dispatch_kill(dispatch: u32) {
    at_dispatch(dispatch, Dispatch::kill);
}

/// The next order: 0 none, 1 start a worker, 2 send it the tasks of the list that is told, 3 ask it to exit, 4 end it, 5
/// reject a task (1 crashed, 2 timed out, 3 closed, 4 dropped), 6 run it here. Into the list: the worker or task, and how many
/// tasks or the fault.
#[wasm_bindgen]
pub fn dispatch_order(dispatch: u32) -> u32 {
    let Some(order) = at_dispatch(dispatch, Dispatch::pop_order).flatten() else {
        return 0;
    };
    let number = |ticket: Ticket| ticket.to_bits() as f64;
    let (what, who, more) = match order {
        Order::Spawn(worker) => (1, worker, 0),
        Order::Send { worker, tasks } => (2, worker, tell(tasks.into_iter().map(number).collect())),
        Order::Retire(worker) => (3, worker, 0),
        Order::Terminate(worker) => (4, worker, 0),
        Order::Reject { task, fault } => (5, task, fault_code(fault)),
        Order::RunHere(task) => (6, task, 0),
    };
    at_world(|_, cells| {
        cells[LIST] = number(who);
        cells[LIST + 1] = f64::from(more);
    });
    what
}

/// Into the list: workers, busy, idle, queued, running, whether it runs here, and what was counted.
#[wasm_bindgen]
pub fn dispatch_stats(dispatch: u32) -> u32 {
    at_world(|world, cells| {
        let Some(dispatch) = world.dispatch(MachineId(dispatch)) else {
            return 0;
        };
        let DispatchCounts {
            submitted,
            completed,
            cancelled,
            timed_out,
            crashed,
            retried,
            moved,
            messages,
            spawned,
            deaths,
            recycled,
        } = dispatch.counts;
        let numbers = [
            dispatch.workers() as u64,
            dispatch.busy() as u64,
            dispatch.idle() as u64,
            dispatch.queued() as u64,
            dispatch.running() as u64,
            u64::from(dispatch.runs_here()),
            submitted,
            completed,
            cancelled,
            timed_out,
            crashed,
            retried,
            moved,
            messages,
            spawned,
            deaths,
            recycled,
        ];
        for (cell, number) in cells[LIST..].iter_mut().zip(numbers) {
            *cell = number as f64;
        }
        1
    })
}

/// How many items the next chunk of a parallel map takes.
#[wasm_bindgen]
pub fn dispatch_chunk(left: f64, workers: u32, item_ms: f64) -> f64 {
    let cost = (item_ms >= 0.0).then_some(item_ms * 1000.0);
    chunk(left as u64, workers, cost) as f64
}

fn at_dispatch<T>(dispatch: u32, call: impl FnOnce(&mut Dispatch) -> T) -> Option<T> {
    at_world(|world, cells| {
        let result = world.at_dispatch(MachineId(dispatch), |dispatch| {
            let result = call(dispatch);
            (result, dispatch.has_orders())
        });
        let (result, has_orders) = result?;
        cells[LOOK] = f64::from(u8::from(has_orders));
        Some(result)
    })
}

fn fault_code(fault: Fault) -> u32 {
    match fault {
        Fault::Crashed => 1,
        Fault::TimedOut => 2,
        Fault::Closed => 3,
        Fault::Dropped => 4,
    }
}
