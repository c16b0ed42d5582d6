//! The runtime of every JavaScript host: window, worker, Node, Deno, Bun and workerd.

use super::runtime::{Runtime, TaskParker};
use crate::machine::time::Instant;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Promise, Reflect};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Runs futures on the host's own event loop: `performance.now`, `setTimeout`, microtasks.
///
/// It finds everything through `globalThis`, so that it needs no window, and touches nothing before it is used, so that it may be
/// made at the top level of a module where hosts forbid timers and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebRuntime(());

impl WebRuntime {
    /// The runtime of this JavaScript realm.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Runtime for WebRuntime {
    type Sleep = WebSleep;
    type Yield = WebYield;
    type Parker = TaskParker;

    fn now(&self) -> Instant {
        Instant::from_millis_f64(clock_millis())
    }

    fn sleep_until(&self, deadline: Instant) -> WebSleep {
        WebSleep {
            deadline,
            timer: None,
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        wasm_bindgen_futures::spawn_local(task);
    }

    fn yield_now(&self) -> WebYield {
        WebYield(JsFuture::from(macrotask()))
    }

    fn park(&self) -> TaskParker {
        TaskParker::new()
    }

    fn seed(&self) -> u64 {
        let word = || (js_sys::Math::random() * 4_294_967_296.0) as u64;
        (word() << 32) | word()
    }
}

/// A timer of the JavaScript host; dropping it clears the timer.
#[derive(Debug)]
pub struct WebSleep {
    deadline: Instant,
    timer: Option<TimeoutFuture>,
}

/// `setTimeout` takes a signed 32-bit number of milliseconds; a longer one fires at once.
const LONGEST_TIMEOUT_MILLIS: u64 = i32::MAX as u64;

impl Future for WebSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(Pin::new(timer).poll(context));
                self.timer = None;
            }
            // Looked at again after every timer: long waits come in pieces, and hosts round timers down.
            let now = WebRuntime::new().now();
            let left = self.deadline.micros_since(now).div_ceil(1000);
            if left == 0 {
                return Poll::Ready(());
            }
            if self.deadline == Instant::FAR_FUTURE {
                return Poll::Pending;
            }
            self.timer = Some(TimeoutFuture::new(left.min(LONGEST_TIMEOUT_MILLIS) as u32));
        }
    }
}

/// A turn given up to the JavaScript host.
#[derive(Debug)]
pub struct WebYield(JsFuture);

impl Future for WebYield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

fn clock_millis() -> f64 {
    let performance = global("performance");
    match performance.dyn_ref::<web_sys::Performance>() {
        Some(performance) => performance.now(),
        // Some hosts give an object of another class, the oldest none at all.
        None => method(&performance, "now")
            .and_then(|now| now.call0(&performance).ok())
            .and_then(|now| now.as_f64())
            .unwrap_or_else(js_sys::Date::now),
    }
}

/// A promise that a later macrotask resolves. A microtask would not do: pages do not paint between microtasks.
fn macrotask() -> Promise {
    let scheduler = global("scheduler");
    if let Some(promise) = method(&scheduler, "yield").and_then(|f| f.call0(&scheduler).ok())
        && let Ok(promise) = promise.dyn_into::<Promise>()
    {
        return promise;
    }
    Promise::new(&mut |resolve, _| {
        let posted = post_message_to_self(&resolve).is_some();
        if !posted {
            let this = js_sys::global();
            for timer in ["setImmediate", "setTimeout"] {
                if method(&this, timer).is_some_and(|f| f.call1(&this, &resolve).is_ok()) {
                    return;
                }
            }
            // A host without any of them has no later turn to wait for.
            let _ = resolve.call0(&JsValue::UNDEFINED);
        }
    })
}

/// One channel per turn, closed by the host once both ends are unreachable: an open port keeps Node alive, so the ports are closed in
/// the listener itself.
fn post_message_to_self(resolve: &Function) -> Option<()> {
    let constructor = global("MessageChannel").dyn_into::<Function>().ok()?;
    let channel = Reflect::construct(&constructor, &Array::new()).ok()?;
    let (inlet, outlet) = (property(&channel, "port1"), property(&channel, "port2"));
    let (close, post) = (method(&outlet, "close")?, method(&inlet, "postMessage")?);
    let outlet_for_listener = outlet.clone();
    let resolve = resolve.clone();
    let listener = wasm_bindgen::closure::Closure::once_into_js(move |_: JsValue| {
        let _ = close.call0(&outlet_for_listener);
        let _ = resolve.call0(&JsValue::UNDEFINED);
    });
    Reflect::set(&outlet, &JsValue::from_str("onmessage"), &listener).ok()?;
    post.call1(&inlet, &JsValue::NULL).ok()?;
    Some(())
}

fn global(name: &str) -> JsValue {
    property(&js_sys::global(), name)
}

fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    property(object, name).dyn_into().ok()
}

#[cfg(test)]
mod in_wasm {
    use super::*;
    use futures::FutureExt;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    async fn a_sleep_takes_its_time_and_the_clock_says_so() {
        let runtime = WebRuntime::new();
        let start = runtime.now();
        runtime.sleep(Duration::from_millis(20)).await;
        assert!(runtime.now() - start >= Duration::from_millis(20));
    }

    #[test]
    async fn sleeps_end_in_the_order_of_their_times() {
        let runtime = WebRuntime::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        for millis in [30, 5, 15] {
            let order = Rc::clone(&order);
            runtime.spawn(async move {
                runtime.sleep(Duration::from_millis(millis)).await;
                order.borrow_mut().push(millis);
            });
        }
        assert!(
            order.borrow().is_empty(),
            "a spawned task starts after its spawner has yielded"
        );
        runtime.sleep(Duration::from_millis(60)).await;
        assert_eq!(*order.borrow(), [5, 15, 30]);
    }

    #[test]
    async fn a_sleep_beyond_what_set_timeout_takes_does_not_end_at_once() {
        let runtime = WebRuntime::new();
        let mut days = runtime.sleep(Duration::from_secs(60 * 86_400));
        assert!((&mut days).now_or_never().is_none());
        runtime.sleep(Duration::from_millis(20)).await;
        assert!((&mut days).now_or_never().is_none());
    }

    #[test]
    async fn a_sleep_whose_time_has_passed_ends_at_the_first_poll() {
        let runtime = WebRuntime::new();
        assert!(runtime.sleep(Duration::ZERO).now_or_never().is_some());
    }

    #[test]
    async fn yielding_lets_timers_fire_not_only_promises() {
        let runtime = WebRuntime::new();
        let fired = Rc::new(RefCell::new(false));
        let flag = Rc::clone(&fired);
        runtime.spawn(async move {
            runtime.sleep(Duration::from_millis(1)).await;
            *flag.borrow_mut() = true;
        });
        let start = runtime.now();
        while !*fired.borrow() && runtime.now() - start < Duration::from_secs(5) {
            runtime.yield_now().await;
        }
        assert!(*fired.borrow());
    }

    #[test]
    async fn each_way_of_yielding_ends() {
        let resolved = Promise::new(&mut |resolve, _| {
            assert!(post_message_to_self(&resolve).is_some());
        });
        assert!(JsFuture::from(resolved).await.is_ok());
    }

    #[test]
    async fn two_seeds_differ() {
        let runtime = WebRuntime::new();
        assert_ne!(runtime.seed(), runtime.seed());
    }

    #[test]
    async fn a_pool_keeps_its_time_on_the_host_s_own_loop() {
        use crate::future::{Host, Pool, PoolOptions, RunError, RunOptions};
        let runtime = WebRuntime::new();
        let pool = Pool::new(&Host::new(runtime), PoolOptions::new(1)).unwrap();
        let limit = RunOptions::new().name("probe").timeout(Duration::from_millis(20));
        let hangs = std::future::pending::<Result<(), String>>;
        let error = pool.run(limit, |_| hangs()).await.unwrap_err();
        assert!(matches!(error, RunError::Timeout(_)));
        let next = pool.run(RunOptions::new(), async |_| Ok::<_, String>(7)).await;
        assert_eq!(next, Ok(7));
    }
}
