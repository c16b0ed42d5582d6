//! The exports of the scan module. Events cross as plain objects, a few a second; nothing here decides anything.
//!
//! JavaScript drives: [`ScanHandle::poll`] is the only place in which the engine's futures run, so a trap is caught where it
//! can be told from a result, and no user code runs inside a wasm frame: what a user gave (`fetch`, `connect`) comes
//! wrapped in functions that only make a promise.

#![allow(unreachable_pub)] // wasm-bindgen exports what is `pub`, whatever the crate's own paths say.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use js_sys::Function;
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsError, JsValue};

use crate::future::WebRuntime;
use crate::scan::config::{ScanConfig, ScanOptions};
use crate::scan::event::ScanEvent;
use crate::scan::fetch::Fetcher;
use crate::scan::metrics::MemoryMetrics;
use crate::scan::plugins;
use crate::scan::report::{Report, Resumed, to_csv};
use crate::scan::targets::Targets;
use crate::scan::web::{JsConnect, WebFetcher};
use crate::scan::{Scan, Scanner};

/// A scanner. Its hosts' breakers last from scan to scan.
#[wasm_bindgen]
pub struct ScannerHandle(Scanner<WebRuntime>);

#[wasm_bindgen]
impl ScannerHandle {
    /// `options` as JSON; `heap` tells the bytes of the heap, or `undefined`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        options: &str,
        fetch: Option<Function>,
        connect: Option<Function>,
        heap: Function,
    ) -> Result<Self, JsError> {
        let options: ScanOptions =
            serde_json::from_str(options).map_err(|error| JsError::new(&error.to_string()))?;
        let config = ScanConfig::parse(&options).map_err(|error| JsError::new(&error))?;
        let fetcher: Rc<dyn Fetcher> = Rc::new(fetch.map_or_else(WebFetcher::new, WebFetcher::with_fetch));
        let mut scanner = Scanner::new(WebRuntime::new(), fetcher, config, plugins::all())
            .map_err(|error| JsError::new(&error))?
            .with_memory(move || memory(&heap));
        if let Some(connect) = connect {
            scanner = scanner.with_connector(Rc::new(JsConnect::new(connect)));
        }
        Ok(Self(scanner))
    }

    /// A scan, begun with its first poll. `epoch` is the Unix time of `performance.now() === 0` in ms, `resume` a report as
    /// JSON; `wake` is called when the scan wants to be polled.
    pub fn scan(
        &self,
        epoch: f64,
        targets: Vec<String>,
        resume: Option<String>,
        wake: Function,
    ) -> Result<ScanHandle, JsError> {
        let earlier = match resume {
            Some(json) => {
                Resumed::from_report(Report::from_json(&json).map_err(|error| JsError::new(&error))?)
            }
            None => Resumed::default(),
        };
        self.0.set_epoch(epoch);
        let scan = self.0.resume(Targets::parse(targets), earlier);
        let events: Events = Rc::default();
        let (run, sink) = (scan.clone(), Rc::clone(&events));
        let running = async move {
            run.run(move |event| sink.borrow_mut().push_back(event)).await;
        };
        let waker = Arc::new(JsWaker(wake)).into();
        Ok(ScanHandle {
            scan,
            events,
            running: RefCell::new(Some(Box::pin(running))),
            waker,
        })
    }
}

/// One scan.
#[wasm_bindgen]
pub struct ScanHandle {
    scan: Scan<WebRuntime>,
    events: Events,
    running: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    waker: Waker,
}

type Events = Rc<RefCell<VecDeque<ScanEvent>>>;

#[wasm_bindgen]
impl ScanHandle {
    /// Lets the engine go on, and returns what it says meanwhile.
    pub fn poll(&self) -> Result<Vec<JsValue>, JsValue> {
        // A call from within a poll finds it at work; its wake is kept by the host.
        if let Ok(mut running) = self.running.try_borrow_mut()
            && let Some(future) = running.as_mut()
            && let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&self.waker))
        {
            *running = None;
        }
        let said: Vec<ScanEvent> = self.events.borrow_mut().drain(..).collect();
        said.iter().map(to_js).collect()
    }

    pub fn pause(&self) {
        self.scan.pause();
        self.waker.wake_by_ref();
    }

    pub fn resume(&self) {
        self.scan.resume();
        self.waker.wake_by_ref();
    }

    pub fn cancel(&self) {
        self.scan.cancel();
        self.waker.wake_by_ref();
    }

    pub fn report(&self) -> Result<JsValue, JsValue> {
        to_js(&self.scan.report())
    }

    pub fn metrics(&self) -> Result<JsValue, JsValue> {
        to_js(&self.scan.metrics())
    }
}

/// A report, as JSON, as CSV.
#[wasm_bindgen]
pub fn report_csv(report: &str) -> Result<String, JsError> {
    Report::from_json(report)
        .map(|report| to_csv(&report))
        .map_err(|error| JsError::new(&error))
}

/// What a list of targets names and what is wrong with it: `{ targets, invalid }`.
#[wasm_bindgen]
pub fn read_targets(inputs: Vec<String>) -> Result<JsValue, JsValue> {
    #[derive(Serialize)]
    struct Read {
        targets: Vec<String>,
        invalid: Vec<crate::scan::targets::Invalid>,
    }
    let Targets { targets, invalid } = Targets::parse(inputs);
    to_js(&Read {
        targets: targets.iter().map(ToString::to_string).collect(),
        invalid,
    })
}

/// The plugins: `{ name, mode, level }` each.
#[wasm_bindgen]
pub fn plugin_list() -> Result<Vec<JsValue>, JsValue> {
    plugins::all()
        .iter()
        .map(|entry| to_js(&entry.describe()))
        .collect()
}

fn to_js(value: &impl Serialize) -> Result<JsValue, JsValue> {
    Ok(value.serialize(&Serializer::json_compatible())?)
}

fn memory(heap: &Function) -> MemoryMetrics {
    let wasm = wasm_bindgen::memory().dyn_into::<js_sys::WebAssembly::Memory>();
    let buffer = wasm
        .map(|memory| memory.buffer())
        .ok()
        .and_then(|buffer| buffer.dyn_into::<js_sys::ArrayBuffer>().ok());
    MemoryMetrics {
        wasm_bytes: buffer.map_or(0.0, |buffer| f64::from(buffer.byte_length())),
        heap_bytes: heap
            .call0(&JsValue::UNDEFINED)
            .ok()
            .and_then(|bytes| bytes.as_f64()),
    }
}

struct JsWaker(Function);

// SAFETY: `Waker` asks for it. wasm32-unknown-unknown without atomics has one thread, so nothing is ever sent or shared.
unsafe impl Send for JsWaker {}
// SAFETY: as above.
unsafe impl Sync for JsWaker {}

impl Wake for JsWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Ours: it sets a flag and queues a microtask.
        let _ = self.0.call0(&JsValue::UNDEFINED);
    }
}
