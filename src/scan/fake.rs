//! A network that answers from a script, in whatever time its clock keeps: for tests of plugins and of the engine.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::{Either, LocalBoxFuture, select};

use super::fetch::{
    Body, Capabilities, FetchError, FetchErrorKind, Fetcher, HeaderView, Headers, Request, Response, Timings,
};
use super::plugin::Clock;

/// A fetcher that answers from a script. An address that nobody scripted is refused.
///
/// The most specific route wins: the full address first, then the longest prefix of it.
#[derive(Clone)]
pub struct FakeFetcher {
    clock: Rc<dyn Clock>,
    capabilities: Capabilities,
    inner: Rc<RefCell<Inner>>,
}

type Script = Rc<dyn Fn(&Request) -> Answer>;

#[derive(Default)]
struct Inner {
    routes: BTreeMap<String, Script>,
    requests: Vec<Request>,
    in_flight: usize,
    most_in_flight: usize,
}

impl FakeFetcher {
    /// A network on which nobody listens yet, seen from a server-side runtime.
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Self {
            clock,
            capabilities: Capabilities::SERVER,
            inner: Rc::default(),
        }
    }

    /// The same network seen with other capabilities.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Scripts every address that begins with `prefix`.
    pub fn on(&self, prefix: impl Into<String>, script: impl Fn(&Request) -> Answer + 'static) {
        self.inner
            .borrow_mut()
            .routes
            .insert(prefix.into(), Rc::new(script));
    }

    /// The requests so far, in the order they were sent.
    pub fn requests(&self) -> Vec<Request> {
        self.inner.borrow().requests.clone()
    }

    /// The most requests that were ever under way at once.
    pub fn most_in_flight(&self) -> usize {
        self.inner.borrow().most_in_flight
    }

    /// Requests under way now.
    pub fn in_flight(&self) -> usize {
        self.inner.borrow().in_flight
    }
}

impl Fetcher for FakeFetcher {
    fn fetch(&self, request: Request) -> LocalBoxFuture<'static, Result<Response, FetchError>> {
        let script = {
            let inner = self.inner.borrow();
            inner
                .routes
                .iter()
                .rev()
                .find(|(prefix, _)| request.url.starts_with(prefix.as_str()))
                .map(|(_, s)| s.clone())
        };
        let answer = match script {
            Some(script) => script(&request),
            None => Answer::error(
                FetchErrorKind::Refused,
                format!("connection refused by {}", request.url),
            ),
        };
        let this = self.clone();
        Box::pin(async move {
            let _flight = Flight::begin(&this.inner, &request);
            let late = this.clock.wait(request.timeout);
            match select(this.clock.wait(answer.after), late).await {
                Either::Left(_) => {}
                Either::Right(_) => {
                    return Err(FetchError::new(
                        FetchErrorKind::Timeout,
                        format!("no answer in {:?}", request.timeout),
                    ));
                }
            }
            answer.result.map(|mut response| {
                let bytes = &response.body.bytes;
                let enough =
                    (0..bytes.len()).find(|read| request.has_enough(&response.headers, &bytes[..*read]));
                if let Some(enough) = enough {
                    response.body.bytes.truncate(enough);
                }
                if response.url.is_empty() {
                    response.url = request.url;
                }
                if response.body.bytes.len() > request.max_body {
                    response.body.bytes.truncate(request.max_body);
                    response.body.truncated = true;
                }
                response.timings = Timings {
                    head: answer.after,
                    total: answer.after,
                };
                response
            })
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

struct Flight(Rc<RefCell<Inner>>);

impl Flight {
    fn begin(inner: &Rc<RefCell<Inner>>, request: &Request) -> Self {
        let mut state = inner.borrow_mut();
        state.requests.push(request.clone());
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        Self(Rc::clone(inner))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.borrow_mut().in_flight -= 1;
    }
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Answer {
    after: Duration,
    result: Result<Response, FetchError>,
}

impl Answer {
    /// An answer with this status, no headers and no body, at once.
    pub fn status(status: u16) -> Self {
        Self {
            after: Duration::ZERO,
            result: Ok(Response {
                status,
                url: String::new(),
                redirected: false,
                headers: Headers {
                    list: Vec::new(),
                    view: HeaderView::All,
                },
                body: Body::default(),
                timings: Timings::default(),
                protocol: None,
            }),
        }
    }

    /// A failure, at once.
    pub fn error(kind: FetchErrorKind, message: impl Into<String>) -> Self {
        Self {
            after: Duration::ZERO,
            result: Err(FetchError::new(kind, message)),
        }
    }

    /// Never answers: only the request's timeout ends it.
    pub fn hang() -> Self {
        Self::status(200).after(Duration::MAX)
    }

    /// The same answer, this much later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// The same answer with one header more.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change(|response| {
            response
                .headers
                .list
                .push((name.to_ascii_lowercase(), value.to_owned()))
        })
    }

    /// The same answer of which only so much is visible.
    #[must_use]
    pub fn view(self, view: HeaderView) -> Self {
        self.change(|response| response.headers.view = view)
    }

    /// The same answer with a body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let bytes = body.into();
        self.change(|response| response.body.bytes = bytes)
    }

    /// The same answer from another address, after redirects.
    #[must_use]
    pub fn redirected_to(self, url: &str) -> Self {
        self.change(|response| {
            response.url = url.to_owned();
            response.redirected = true;
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Response)) -> Self {
        if let Ok(response) = &mut self.result {
            change(response);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_longest_route_answers_and_an_unscripted_address_is_refused() {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        fake.on("http://a/", |_| Answer::status(200));
        fake.on("http://a/deep", |request| {
            Answer::status(404).body(request.method.name())
        });
        let deep = runtime
            .block_on(fake.fetch(Request::get("http://a/deep/er")))
            .unwrap();
        assert_eq!(
            (deep.status, &*deep.body.text(), &*deep.url),
            (404, "GET", "http://a/deep/er")
        );
        assert_eq!(
            runtime
                .block_on(fake.fetch(Request::get("http://a/x")))
                .unwrap()
                .status,
            200
        );
        assert_eq!(
            runtime
                .block_on(fake.fetch(Request::get("http://b/")))
                .unwrap_err()
                .kind,
            FetchErrorKind::Refused
        );
        assert_eq!(
            (fake.requests().len(), fake.in_flight(), fake.most_in_flight()),
            (3, 0, 1)
        );
    }

    #[test]
    fn a_body_is_read_up_to_its_bound() {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        fake.on("http://a/", |_| Answer::status(200).body("0123456789"));
        let response = runtime
            .block_on(fake.fetch(Request::get("http://a/").max_body(4)))
            .unwrap();
        assert_eq!((&*response.body.text(), response.body.truncated), ("0123", true));
    }

    #[test]
    fn a_target_that_hangs_ends_with_the_requests_timeout() {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        fake.on("http://a/", |_| Answer::hang());
        fake.on("http://b/", |_| {
            Answer::status(200).after(Duration::from_millis(30))
        });
        let request = Request::get("http://a/").timeout(Duration::from_secs(3));
        assert_eq!(
            runtime.block_on(fake.fetch(request)).unwrap_err().kind,
            FetchErrorKind::Timeout
        );
        assert_eq!(runtime.reading().as_micros(), 3_000_000);
        let response = runtime.block_on(fake.fetch(Request::get("http://b/"))).unwrap();
        assert_eq!(response.timings.head, Duration::from_millis(30));
        assert_eq!(runtime.pending_timers(), 0);
    }
}
