//! The network of every JavaScript host: `fetch` in window, worker, Node, Deno, Bun and workerd.

mod classify;
mod connect;
mod fetcher;

pub use connect::JsConnect;
pub use fetcher::WebFetcher;

use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, JsValue};

/// Which kind of host this is. Pages are told less than servers, so what a host hides decides what a scan may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Browser,
    Server,
}

impl Host {
    pub(crate) fn here() -> Self {
        let global = js_sys::global();
        let has = |name: &str| !property(&global, name).is_undefined();
        // A renderer with Node in it is a page all the same: its `fetch` is the page's.
        if has("document") {
            return Self::Browser;
        }
        let versions = property(&property(&global, "process"), "versions");
        let agent = property(&property(&global, "navigator"), "userAgent").as_string();
        let server = has("Deno")
            || has("Bun")
            || has("EdgeRuntime")
            || !property(&versions, "node").is_undefined()
            || agent.is_some_and(|agent| agent == "Cloudflare-Workers");
        if server { Self::Server } else { Self::Browser }
    }
}

fn property(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

fn method(object: &JsValue, name: &str) -> Option<Function> {
    property(object, name).dyn_into().ok()
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    // An object literal of ours takes every property.
    let _ = Reflect::set(object, &JsValue::from_str(name), value);
}

/// `new AbortController()`, aborted when dropped: that is how a future that is dropped ends what it began.
struct Abort(JsValue);

impl Abort {
    fn new() -> Self {
        let constructor = property(&js_sys::global(), "AbortController").dyn_into::<Function>();
        let made = constructor
            .ok()
            .and_then(|make| Reflect::construct(&make, &js_sys::Array::new()).ok());
        Self(made.unwrap_or(JsValue::UNDEFINED))
    }

    fn signal(&self) -> JsValue {
        property(&self.0, "signal")
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(abort) = method(&self.0, "abort") {
            let _ = abort.call0(&self.0);
        }
    }
}
