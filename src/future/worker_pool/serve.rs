//! What runs in a Web Worker: takes tasks by messages, and answers them one by one.

use super::kernels::Kernels;
use crate::future::runtime::Runtime;
use crate::future::web_runtime::WebRuntime;
use js_sys::{Array, Uint8Array};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessageChannel, MessageEvent, MessagePort};

/// Serves a pool whose workers are [`WebWorkers`](super::WebWorkers): to be called once in the worker, with the kernels that the
/// page's pool has. It returns at once, and what the worker then does it does when messages come.
///
/// Between two tasks it hears of those that nobody waits for any more. A kernel that panics ends its worker.
///
/// # Errors
///
/// [`NotInWorker`] in a page, or wherever else there is no dedicated worker.
pub fn serve_kernels(kernels: Kernels) -> Result<(), NotInWorker> {
    let Ok(scope) = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>() else {
        return Err(NotInWorker(()));
    };
    let channel = MessageChannel::new().map_err(|_| NotInWorker(()))?;
    let desk = Rc::new(Desk {
        scope,
        kernels,
        next: channel.port1(),
        tasks: RefCell::default(),
        is_busy: Cell::new(false),
        is_retired: Cell::new(false),
    });
    let (hears, works) = (Rc::clone(&desk), Rc::clone(&desk));
    let on_order =
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| hears.hear(event.data()));
    let on_turn = Closure::<dyn FnMut()>::new(move || works.run_next());
    desk.scope.set_onmessage(Some(on_order.as_ref().unchecked_ref()));
    channel
        .port2()
        .set_onmessage(Some(on_turn.as_ref().unchecked_ref()));
    // They are needed for as long as the worker is there.
    on_order.forget();
    on_turn.forget();
    desk.say(&JsValue::NULL);
    Ok(())
}

/// There is no dedicated worker here that could serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInWorker(());

impl fmt::Display for NotInWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected to be called in a dedicated worker, where there is a page that sends tasks")
    }
}

impl std::error::Error for NotInWorker {}

struct Desk {
    scope: DedicatedWorkerGlobalScope,
    kernels: Kernels,
    /// A message here is the next turn: in between, those from the page are heard.
    next: MessagePort,
    tasks: RefCell<VecDeque<Task>>,
    is_busy: Cell<bool>,
    is_retired: Cell<bool>,
}

struct Task {
    id: f64,
    kernel: String,
    args: Vec<Uint8Array>,
}

impl Desk {
    /// Tasks; the number of one that nobody waits for; or `null`, when it may go.
    fn hear(&self, said: JsValue) {
        if let Some(orders) = said.dyn_ref::<Array>() {
            self.tasks.borrow_mut().extend(orders.iter().filter_map(task_of));
        } else if let Some(id) = said.as_f64() {
            let mut tasks = self.tasks.borrow_mut();
            let place = tasks.iter().position(|task| task.id == id);
            if place.and_then(|at| tasks.remove(at)).is_some() {
                self.answer(id, &"nobody waits for it".into(), 0);
            }
        } else {
            self.is_retired.set(true);
        }
        if !self.is_busy.replace(true) {
            self.run_next();
        }
    }

    fn run_next(&self) {
        let task = self.tasks.borrow_mut().pop_front();
        if let Some(Task { id, kernel, args }) = task {
            let args: Vec<Vec<u8>> = args.iter().map(Uint8Array::to_vec).collect();
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let began = WebRuntime::new().now();
            let result = self.kernels.call(&kernel, &args);
            let micros = WebRuntime::new().now().micros_since(began);
            match result {
                Ok(bytes) => self.answer(id, &Uint8Array::from(&*bytes), micros),
                Err(error) => self.answer(id, &error.to_string().into(), micros),
            }
        }
        if !self.tasks.borrow().is_empty() {
            // It cannot fail: nothing of it has to be copied.
            let _ = self.next.post_message(&JsValue::NULL);
            return;
        }
        self.is_busy.set(false);
        if self.is_retired.get() {
            self.say(&JsValue::FALSE);
            self.scope.close();
        }
    }

    fn answer(&self, id: f64, value: &JsValue, micros: u64) {
        let answer = Array::of3(&id.into(), value, &(micros as f64).into());
        let moved: Array = value
            .dyn_ref::<Uint8Array>()
            .map(Uint8Array::buffer)
            .into_iter()
            .collect();
        if self.scope.post_message_with_transfer(&answer, &moved).is_err() {
            self.say(&JsValue::FALSE);
        }
    }

    fn say(&self, what: &JsValue) {
        // Only what cannot be copied is refused.
        let _ = self.scope.post_message(what);
    }
}

fn task_of(order: JsValue) -> Option<Task> {
    let order = order.dyn_ref::<Array>()?;
    Some(Task {
        id: order.get(0).as_f64()?,
        kernel: order.get(1).as_string()?,
        args: Array::from(&order.get(2))
            .iter()
            .map(Uint8Array::unchecked_from_js)
            .collect(),
    })
}

#[cfg(test)]
mod in_wasm {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn nobody_is_served_outside_of_a_worker() {
        let refused = serve_kernels(Kernels::new()).unwrap_err();
        assert!(refused.to_string().contains("a dedicated worker"), "{refused}");
    }
}
