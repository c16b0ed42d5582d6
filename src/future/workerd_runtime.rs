//! The runtime of workerd, where many requests share one instance and each may be ended without a word.

use super::runtime::{Parker, Runtime};
use super::web_runtime::{WebRuntime, WebSleep, WebYield};
use crate::machine::time::Instant;
use js_sys::{Function, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Runs futures on Cloudflare's workerd, with handles that concurrent requests share: what a `static` of a Worker in Rust needs.
///
/// There a request that has nothing pending of its own is killed as hung, and a future that is woken from another request goes on in the
/// wrong one. So whoever waits does it for a promise made in its own request, with a timer of its own beside it, after which it looks
/// for itself: after 5 to 50 ms, or, where promises of other requests may be resolved (compatibility date 2024-10-14 and later),
/// only to say that it is there. Everything else is as in [`WebRuntime`].
///
/// Who is still there is not known here: a request that was ended without a word keeps its place. Give pools a timeout, after which what the dead
/// were handed is free again.
///
/// Making one touches neither clock nor timers nor randomness, so it may stand in a `thread_local`.
#[derive(Clone, Debug)]
pub struct WorkerdRuntime {
    web: WebRuntime,
    reaches: bool,
    parked: Rc<Cell<u32>>,
}

impl WorkerdRuntime {
    /// The runtime of this isolate.
    pub fn new() -> Self {
        Self {
            web: WebRuntime::new(),
            reaches: reaches(),
            parked: Rc::default(),
        }
    }
}

impl Default for WorkerdRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for WorkerdRuntime {
    type Sleep = WebSleep;
    type Yield = WebYield;
    type Parker = WorkerdParker;

    fn now(&self) -> Instant {
        self.web.now()
    }

    fn sleep_until(&self, deadline: Instant) -> WebSleep {
        self.web.sleep_until(deadline)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.web.spawn(task);
    }

    fn yield_now(&self) -> WebYield {
        self.web.yield_now()
    }

    fn park(&self) -> WorkerdParker {
        WorkerdParker(Rc::new(Place {
            reaches: self.reaches,
            parked: Rc::clone(&self.parked),
            looks: Cell::new(0),
            unparked: Cell::new(false),
            waiting: RefCell::new(None),
        }))
    }

    fn seed(&self) -> u64 {
        self.web.seed()
    }
}

/// A place to park in one request: a promise and a timer of its own.
#[derive(Clone, Debug)]
pub struct WorkerdParker(Rc<Place>);

#[derive(Debug)]
struct Place {
    reaches: bool,
    parked: Rc<Cell<u32>>,
    looks: Cell<u32>,
    unparked: Cell<bool>,
    waiting: RefCell<Option<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    woken: JsFuture,
    resolve: Option<Function>,
    timer: JsValue,
    parked: Rc<Cell<u32>>,
}

/// How soon somebody looks for itself, in milliseconds, and how late.
const FIRST_LOOK: u32 = 5;
const LAST_LOOK: u32 = 50;

impl Parker for WorkerdParker {
    fn poll_parked(&self, context: &mut Context<'_>) -> Poll<()> {
        let Place {
            unparked, waiting, ..
        } = &*self.0;
        let mut waiting = waiting.borrow_mut();
        if !unparked.replace(false) {
            let place = waiting.get_or_insert_with(|| self.0.wait());
            if Pin::new(&mut place.woken).poll(context).is_pending() {
                return Poll::Pending;
            }
            unparked.set(false);
        }
        *waiting = None;
        Poll::Ready(())
    }

    fn unpark(&self) {
        self.0.unparked.set(true);
        if !self.0.reaches {
            return;
        }
        // The borrow ends before the promise is resolved.
        let resolve = self
            .0
            .waiting
            .borrow()
            .as_ref()
            .and_then(|place| place.resolve.clone());
        if let Some(resolve) = resolve {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Place {
    /// A promise of the request that is running, which its own timer resolves.
    fn wait(&self) -> Waiting {
        let looks = self.looks.replace(self.looks.get().saturating_add(1));
        self.parked.set(self.parked.get() + 1);
        let delay = if self.reaches {
            // Half a millisecond for each, lest a thousand of them keep the thread busy with saying that they are there.
            LAST_LOOK.max(self.parked.get() / 2)
        } else {
            (FIRST_LOOK << looks.min(4)).min(LAST_LOOK)
        };
        let (mut kept, mut timer) = (None, JsValue::UNDEFINED);
        let promise = Promise::new(&mut |resolve, _| {
            timer = global("setTimeout")
                .and_then(|set| set.call2(&JsValue::UNDEFINED, &resolve, &delay.into()).ok())
                .unwrap_or(JsValue::UNDEFINED);
            kept = Some(resolve);
        });
        Waiting {
            woken: JsFuture::from(promise),
            resolve: kept.filter(|_| self.reaches),
            timer,
            parked: Rc::clone(&self.parked),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.parked.set(self.parked.get().saturating_sub(1));
        // It fails only where the request is not the one that is running any more, and then its timers are gone.
        if let Some(clear) = global("clearTimeout") {
            let _ = clear.call1(&JsValue::UNDEFINED, &self.timer);
        }
    }
}

/// Whether promises of other requests may be resolved here.
fn reaches() -> bool {
    let part = |object: JsValue, name: &str| Reflect::get(&object, &JsValue::from_str(name)).ok();
    part(js_sys::global().into(), "Cloudflare")
        .and_then(|cloudflare| part(cloudflare, "compatibilityFlags"))
        .and_then(|flags| part(flags, "handle_cross_request_promise_resolution"))
        .is_some_and(|flag| flag == JsValue::TRUE)
}

fn global(name: &str) -> Option<Function> {
    Reflect::get(&js_sys::global(), &JsValue::from_str(name))
        .ok()?
        .dyn_into()
        .ok()
}
