//! [`WebFetcher`]: the host's own `fetch`.

use futures::FutureExt;
use futures::future::{Either, LocalBoxFuture, select};
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::classify::classify;
use super::{Abort, Host, method, property, set};
use crate::future::{Runtime, WebRuntime};
use crate::machine::time::Instant;
use crate::scan::fetch::{
    Body, Capabilities, FetchError, FetchErrorKind, Fetcher, HeaderView, Headers, Redirect, Request,
    Response, Timings, Visibility,
};

/// The host's own `fetch`, or one that the caller gives. Credentials are never sent, caches never asked.
#[derive(Clone, Debug)]
pub struct WebFetcher {
    fetch: Option<Function>,
    host: Host,
}

impl WebFetcher {
    /// Looks `globalThis.fetch` up at each request, so that it may be made anywhere and replaced in a test.
    pub fn new() -> Self {
        Self {
            fetch: None,
            host: Host::here(),
        }
    }

    /// Uses this function, which must return a promise and run no code of a user's before it returns.
    pub fn with_fetch(fetch: Function) -> Self {
        Self {
            fetch: Some(fetch),
            host: Host::here(),
        }
    }
}

impl Default for WebFetcher {
    fn default() -> Self {
        Self::new()
    }
}

impl Fetcher for WebFetcher {
    fn fetch(&self, request: Request) -> LocalBoxFuture<'static, Result<Response, FetchError>> {
        let this = self.clone();
        Box::pin(async move { this.exchange(&request).await })
    }

    fn capabilities(&self) -> Capabilities {
        match self.host {
            Host::Browser => Capabilities::BROWSER,
            Host::Server => Capabilities::SERVER,
        }
    }
}

impl WebFetcher {
    async fn exchange(&self, request: &Request) -> Result<Response, FetchError> {
        let runtime = WebRuntime::new();
        let started = runtime.now();
        let abort = Abort::new();
        let answer = Box::pin(JsFuture::from(self.send(request, &abort)?));
        let late = runtime.sleep_until(started + request.timeout);
        let (answer, late) = match select(answer, late).await {
            Either::Left((Ok(answer), late)) => (answer, late),
            Either::Left((Err(error), _)) => return Err(self.failure(&error, request)),
            Either::Right(_) => {
                let waited = format!("no answer in {} s", request.timeout.as_secs_f64());
                return Err(FetchError::new(FetchErrorKind::Timeout, waited));
            }
        };
        let head = runtime.now().since(started);
        let mut response = self.read_head(&answer, request);
        let mut body = Body::default();
        let reading = Box::pin(read_body(&answer, request, &response.headers, &mut body));
        let body_late = match request.body_timeout {
            Some(limit) => select(late, runtime.sleep(limit)).map(drop).left_future(),
            None => late.right_future(),
        };
        let in_time = matches!(select(reading, body_late).await, Either::Left(_));
        body.truncated |= !in_time;
        response.body = body;
        response.timings = Timings {
            head,
            total: runtime.now().since(started),
        };
        response.protocol = self.protocol(&response.url, started);
        drop(abort);
        Ok(response)
    }

    fn send(&self, request: &Request, abort: &Abort) -> Result<Promise, FetchError> {
        let global = js_sys::global();
        let fetch = self.fetch.clone().or_else(|| method(&global, "fetch"));
        let fetch =
            fetch.ok_or_else(|| FetchError::new(FetchErrorKind::Other, "this host has no `fetch`"))?;
        let init = self.init(request, abort);
        let promise = fetch.call2(&JsValue::UNDEFINED, &JsValue::from_str(&request.url), &init);
        match promise.map(JsCast::dyn_into::<Promise>) {
            Ok(Ok(promise)) => Ok(promise),
            Ok(Err(_)) => Err(FetchError::new(
                FetchErrorKind::Other,
                "`fetch` did not return a promise",
            )),
            Err(error) => Err(self.failure(&error, request)),
        }
    }

    fn init(&self, request: &Request, abort: &Abort) -> JsValue {
        let init: JsValue = Object::new().into();
        let headers = Array::new();
        let mut named = false;
        for (name, value) in &request.headers {
            named |= name == "user-agent";
            headers.push(&Array::of2(&JsValue::from_str(name), &JsValue::from_str(value)));
        }
        set(&init, "method", &JsValue::from_str(request.method.name()));
        set(
            &init,
            "redirect",
            &JsValue::from_str(match request.redirect {
                Redirect::Follow => "follow",
                Redirect::Manual => "manual",
            }),
        );
        set(&init, "signal", &abort.signal());
        if let Some(body) = &request.body {
            // Text as a string: Node cannot send bytes a second time when a redirect asks for it.
            let body = match core::str::from_utf8(body) {
                Ok(text) => JsValue::from_str(text),
                Err(_) => Uint8Array::from(body.as_slice()).into(),
            };
            set(&init, "body", &body);
        }
        match self.host {
            Host::Browser => {
                // Server-side hosts have no use for these, and workerd refuses to be told.
                set(&init, "credentials", &JsValue::from_str("omit"));
                set(&init, "cache", &JsValue::from_str("no-store"));
                set(&init, "referrerPolicy", &JsValue::from_str("no-referrer"));
                if request.visibility == Visibility::OpaqueIsEnough {
                    set(&init, "mode", &JsValue::from_str("no-cors"));
                }
            }
            Host::Server if !named => {
                let agent = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
                headers.push(&Array::of2(
                    &JsValue::from_str("user-agent"),
                    &JsValue::from_str(agent),
                ));
            }
            Host::Server => {}
        }
        set(&init, "headers", &headers);
        init
    }

    fn failure(&self, error: &JsValue, request: &Request) -> FetchError {
        let mut error = classify(error, self.host);
        if error.message.is_empty() {
            error.message = format!("{} could not be fetched", request.url);
        }
        error
    }

    fn read_head(&self, answer: &JsValue, request: &Request) -> Response {
        let text = |name| property(answer, name).as_string().unwrap_or_default();
        let kind = text("type");
        let view = match (self.host, kind.as_str()) {
            (_, "opaque" | "opaqueredirect") => HeaderView::Opaque,
            (Host::Server, _) => HeaderView::All,
            (Host::Browser, "basic") => HeaderView::NoCookies,
            (Host::Browser, _) => HeaderView::Cors,
        };
        let url = text("url");
        Response {
            status: property(answer, "status").as_f64().unwrap_or_default() as u16,
            url: if url.is_empty() { request.url.clone() } else { url },
            redirected: property(answer, "redirected").is_truthy(),
            headers: Headers {
                list: header_list(&property(answer, "headers")),
                view,
            },
            body: Body::default(),
            timings: Timings::default(),
            protocol: None,
        }
    }

    /// What the page's resource timing says of the exchange that has just ended.
    fn protocol(&self, url: &str, started: Instant) -> Option<String> {
        if self.host == Host::Server {
            return None;
        }
        let performance = property(&js_sys::global(), "performance");
        let entries = method(&performance, "getEntriesByName")?
            .call1(&performance, &JsValue::from_str(url))
            .ok()?;
        let entry = Array::from(&entries).pop();
        let fresh = property(&entry, "startTime").as_f64()? >= started.as_millis_f64().floor();
        property(&entry, "nextHopProtocol")
            .as_string()
            .filter(|name| fresh && !name.is_empty())
    }
}

/// `Headers` gives each `Set-Cookie` as an entry of its own (the Fetch standard since 2022); whoever does not is asked by `getSetCookie`.
fn header_list(headers: &JsValue) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let Ok(Some(entries)) = js_sys::try_iter(headers) else {
        return list;
    };
    for entry in entries.flatten() {
        let at = |index| {
            Reflect::get_u32(&entry, index)
                .ok()
                .and_then(|value| value.as_string())
        };
        if let (Some(name), Some(value)) = (at(0), at(1)) {
            list.push((name.to_ascii_lowercase(), value));
        }
    }
    if let Some(cookies) = method(headers, "getSetCookie").and_then(|get| get.call0(headers).ok()) {
        list.retain(|(name, _)| name != "set-cookie");
        let cookies = Array::from(&cookies);
        list.extend(
            cookies
                .iter()
                .filter_map(|cookie| Some(("set-cookie".to_owned(), cookie.as_string()?))),
        );
    }
    list
}

/// Reads up to the request's bound, or until it has seen enough. A body that breaks off is one that was cut short.
async fn read_body(answer: &JsValue, request: &Request, headers: &Headers, body: &mut Body) {
    let stream = property(answer, "body");
    let Some(reader) = method(&stream, "getReader").and_then(|get| get.call0(&stream).ok()) else {
        return;
    };
    let _reader = Reader(reader.clone());
    let Some(read) = method(&reader, "read") else {
        return;
    };
    if request.max_body == 0 {
        body.truncated = true;
        return;
    }
    while body.bytes.len() <= request.max_body && !request.has_enough(headers, &body.bytes) {
        let Some(promise) = read
            .call0(&reader)
            .ok()
            .and_then(|promise| promise.dyn_into::<Promise>().ok())
        else {
            return;
        };
        let Ok(chunk) = JsFuture::from(promise).await else {
            body.truncated = true;
            return;
        };
        if property(&chunk, "done").is_truthy() {
            return;
        }
        if let Ok(bytes) = property(&chunk, "value").dyn_into::<Uint8Array>() {
            let room = request.max_body.saturating_sub(body.bytes.len());
            let taken = bytes.length().min(u32::try_from(room).unwrap_or(u32::MAX));
            body.bytes.extend_from_slice(&bytes.subarray(0, taken).to_vec());
            if taken < bytes.length() {
                body.truncated = true;
                return;
            }
        }
    }
}

/// A body's reader; dropping it tells the host that nobody reads on.
struct Reader(JsValue);

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(promise) = method(&self.0, "cancel").and_then(|cancel| cancel.call0(&self.0).ok())
            && let Ok(promise) = promise.dyn_into::<Promise>()
        {
            // Whether the host could still cancel is of no interest, and must not be an unhandled rejection.
            wasm_bindgen_futures::spawn_local(async move {
                let _ = JsFuture::from(promise).await;
            });
        }
    }
}
