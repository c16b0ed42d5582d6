//! Workers that are Web Workers: further instances of the program, which are told by messages what to run.

use super::kernels::{KernelError, Kernels};
use super::workers::{Worker, WorkerEars, WorkerTask, Workers};
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, MessageEvent, WorkerOptions, WorkerType};

type Make = dyn Fn(&str) -> Result<web_sys::Worker, JsValue>;

/// Workers that are Web Workers. Each is another instance of the program: its script loads the same module as the page does, and
/// calls [`serve_kernels`](super::serve_kernels) with the same kernels. Only the program, or its bundler, knows where that
/// script is.
///
/// Bytes are copied out of the memory of one instance and into that of the other, and moved between. A worker that is given up is
/// ended at once, whatever it does. Where the platform has no workers, or does not let this one be made, the pool runs
/// everything on its own thread; a script that cannot be loaded is a worker that died.
///
/// # Examples
///
/// In the page:
///
/// ```ignore
/// let host = Host::new(WebRuntime::new());
/// let workers = WebWorkers::new("/worker.js");
/// let pool = WorkerPool::new(&host, Kernels::built_in(), workers, WorkerPoolOptions::new())?;
/// let digest = pool.run("sha256", [&b"tide"[..]], &WorkerRunOptions::new()).await?;
/// ```
///
/// In `worker.js`, beside the module that `wasm-bindgen --target web` made of the program:
///
/// ```js
/// import init, { work } from "./program.js";
/// await init();
/// work();
/// ```
///
/// And in the program, for the worker:
///
/// ```ignore
/// #[wasm_bindgen]
/// pub fn work() {
///     serve_kernels(Kernels::built_in()).expect("this runs in a worker");
/// }
/// ```
#[derive(Clone)]
pub struct WebWorkers(Rc<Make>);

impl WebWorkers {
    /// Workers whose script, a module, is at this address; a relative one begins at the page's.
    pub fn new(url: impl Into<String>) -> Self {
        let url = url.into();
        Self::with(move |name| {
            let options = WorkerOptions::new();
            options.set_type(WorkerType::Module);
            options.set_name(name);
            web_sys::Worker::new_with_options(&url, &options)
        })
    }

    /// Workers that `make` makes, each with the name that it is given.
    pub fn with(make: impl Fn(&str) -> Result<web_sys::Worker, JsValue> + 'static) -> Self {
        Self(Rc::new(make))
    }
}

impl fmt::Debug for WebWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebWorkers").finish_non_exhaustive()
    }
}

impl Workers for WebWorkers {
    fn start(&self, name: &str, _kernels: &Kernels, ears: WorkerEars) -> Option<Rc<dyn Worker>> {
        let worker = (self.0)(name).ok()?;
        let link = Rc::new(Link {
            worker,
            ears,
            sent: RefCell::default(),
            listening: RefCell::default(),
        });
        let (hears, fails) = (Rc::clone(&link), Rc::clone(&link));
        let listening = Listening {
            message: Closure::new(move |event: MessageEvent| hears.hear(&event.data())),
            failure: Closure::new(move |event: Event| {
                event.prevent_default();
                fails.fail();
            }),
        };
        let failure = listening.failure.as_ref().unchecked_ref();
        link.worker.set_onerror(Some(failure));
        link.worker.set_onmessageerror(Some(failure));
        link.worker
            .set_onmessage(Some(listening.message.as_ref().unchecked_ref()));
        link.listening.replace(Some(listening));
        Some(link)
    }
}

/// A worker as the page knows it.
struct Link {
    worker: web_sys::Worker,
    ears: WorkerEars,
    /// What it has not answered, in the order in which it runs them.
    sent: RefCell<VecDeque<u64>>,
    /// They hold the link for as long as the worker may say something, which is longer than the pool does.
    listening: RefCell<Option<Listening>>,
}

struct Listening {
    message: Closure<dyn FnMut(MessageEvent)>,
    failure: Closure<dyn FnMut(Event)>,
}

impl Link {
    fn hear(&self, said: &JsValue) {
        if said.is_null() {
            self.ears.ready();
        } else if let Some(answer) = said.dyn_ref::<Array>() {
            let task = answer.get(0).as_f64().unwrap_or_default() as u64;
            let result = match answer.get(1).dyn_ref::<Uint8Array>() {
                Some(bytes) => Ok(bytes.to_vec()),
                None => Err(KernelError::new(answer.get(1).as_string().unwrap_or_default())),
            };
            let micros = answer.get(2).as_f64().unwrap_or_default();
            self.sent.borrow_mut().retain(|sent| *sent != task);
            self.ears
                .answered(task, result, Duration::from_micros(micros as u64));
        } else {
            self.end();
            self.ears.died();
        }
    }

    /// Its script cannot be loaded, or a task has broken it: the first that it has not answered.
    fn fail(&self) {
        self.end();
        let running = self.sent.borrow_mut().pop_front();
        match running {
            Some(task) => self.ears.trapped(task),
            None => self.ears.died(),
        }
    }

    fn end(&self) {
        self.worker.terminate();
        self.worker.set_onerror(None);
        self.worker.set_onmessageerror(None);
        self.worker.set_onmessage(None);
        self.listening.take();
    }
}

impl Worker for Link {
    fn send(&self, tasks: Vec<WorkerTask>) {
        let (orders, moved) = (Array::new(), Array::new());
        for WorkerTask { id, kernel, args } in tasks {
            let bytes = args.iter().map(|arg| Uint8Array::from(&**arg));
            let bytes: Array = bytes.inspect(|bytes| _ = moved.push(&bytes.buffer())).collect();
            orders.push(&Array::of3(&(id as f64).into(), &(&*kernel).into(), &bytes));
            self.sent.borrow_mut().push_back(id);
        }
        if self.worker.post_message_with_transfer(&orders, &moved).is_err() {
            self.end();
            self.ears.died();
        }
    }

    fn cancel(&self, task: u64) {
        // What cannot be said to it is told by other means.
        let _ = self.worker.post_message(&(task as f64).into());
    }

    fn retire(&self) {
        let _ = self.worker.post_message(&JsValue::NULL);
    }

    fn terminate(&self) {
        self.end();
    }
}
