//! How a target is reached: one request in, one response or one classified error out.
//!
//! The trait is small on purpose: what window, worker, Node, Deno, Bun and workerd can all do. Where a platform hides
//! something (a page without CORS permission does not see most headers), the response says *hidden*, so that nobody
//! reports it as *missing*.

use core::fmt;
use core::time::Duration;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

/// What sends requests. Object-safe, and neither it nor its futures need be `Send`.
pub trait Fetcher {
    /// Sends `request` and reads the answer's head and at most `request.max_body` bytes of its body.
    ///
    /// # Errors
    /// A [`FetchError`] that says at which stage it failed, as far as the platform tells.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the request; nothing of it goes on.
    fn fetch(&self, request: Request) -> LocalBoxFuture<'static, Result<Response, FetchError>>;

    /// What this platform lets a scan do and see.
    fn capabilities(&self) -> Capabilities;
}

/// What a platform lets a scan do and see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Every response header is visible, whatever CORS says. True in Node, Deno, Bun and workerd, false in pages.
    pub all_headers: bool,
    /// A request may carry an `Origin` of our choice. False in pages.
    pub sets_origin: bool,
    /// A redirect can be looked at instead of being followed. False in pages (the answer is opaque there).
    pub sees_redirects: bool,
    /// A connection error says what went wrong. False in pages.
    pub tells_errors: bool,
    /// `Set-Cookie` is visible. False in pages.
    pub sees_cookies: bool,
}

impl Capabilities {
    /// A server-side runtime, where nothing is hidden.
    pub const SERVER: Self = Self {
        all_headers: true,
        sets_origin: true,
        sees_redirects: true,
        tells_errors: true,
        sees_cookies: true,
    };
    /// A page or a worker of one.
    pub const BROWSER: Self = Self {
        all_headers: false,
        sets_origin: false,
        sees_redirects: false,
        tells_errors: false,
        sees_cookies: false,
    };
}

/// One request. Credentials are never sent along.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute address, `http:` or `https:`.
    pub url: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// What to do about a redirect. Default: follow (at most 20, as `fetch` does).
    pub redirect: Redirect,
    /// How many bytes of the body to read before the rest is left unread. Default: 1 MiB.
    pub max_body: usize,
    /// How long the whole exchange may take. Default: 10 s.
    pub timeout: Duration,
    /// How long the body may take once the head is there; what is read by then counts. Default: what is left of `timeout`.
    pub body_timeout: Option<Duration>,
    /// Whether the answer must be readable. Default: yes.
    pub visibility: Visibility,
    /// Says of the body so far that it is enough, for answers that do not end by themselves. Default: never.
    pub enough: Option<Enough>,
}

/// A test of the head of an answer and of its body so far.
#[derive(Clone)]
pub struct Enough(Rc<BodyTest>);

type BodyTest = dyn Fn(&Headers, &[u8]) -> bool;

impl fmt::Debug for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enough(..)")
    }
}

impl Request {
    /// A `GET` of `url` with the defaults.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// A request with the defaults.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            redirect: Redirect::Follow,
            max_body: 1 << 20,
            timeout: Duration::from_secs(10),
            body_timeout: None,
            visibility: Visibility::Readable,
            enough: None,
        }
    }

    /// The same request with one header more. The name is turned to lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same request with a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The same request with another rule for redirects.
    #[must_use]
    pub fn redirect(mut self, redirect: Redirect) -> Self {
        self.redirect = redirect;
        self
    }

    /// The same request with another bound on the body.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The same request with another bound on the whole exchange.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// The same request with a bound on the time for its body.
    #[must_use]
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.body_timeout = Some(limit);
        self
    }

    /// The same request that stops reading as soon as the headers and the body so far pass this test.
    #[must_use]
    pub fn until(mut self, enough: impl Fn(&Headers, &[u8]) -> bool + 'static) -> Self {
        self.enough = Some(Enough(Rc::new(enough)));
        self
    }

    /// Whether the body so far is enough.
    pub fn has_enough(&self, headers: &Headers, body: &[u8]) -> bool {
        self.enough
            .as_ref()
            .is_some_and(|enough| (enough.0)(headers, body))
    }

    /// The same request for which an answer that cannot be read is enough.
    #[must_use]
    pub fn opaque(mut self) -> Self {
        self.visibility = Visibility::OpaqueIsEnough;
        self
    }
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `OPTIONS`
    Options,
    /// `DELETE`
    Delete,
}

impl Method {
    /// The method as it goes on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Options => "OPTIONS",
            Self::Delete => "DELETE",
        }
    }
}

/// What to do about a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Redirect {
    /// Follow it; the response tells the final address.
    Follow,
    /// Hand it back as it is. In pages the platform hides it: the response then is [`HeaderView::Opaque`].
    Manual,
}

/// Whether the answer must be readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// An answer that CORS forbids to read is an error, [`FetchErrorKind::BlockedByCors`].
    Readable,
    /// Only whether there is an answer matters (`mode: "no-cors"` in pages, no difference elsewhere).
    OpaqueIsEnough,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The status; 0 where it is hidden ([`HeaderView::Opaque`]).
    pub status: u16,
    /// The address that answered, after redirects.
    pub url: String,
    /// Whether there were redirects on the way.
    pub redirected: bool,
    /// The visible headers.
    pub headers: Headers,
    /// What was read of the body.
    pub body: Body,
    /// How long it took.
    pub timings: Timings,
    /// The protocol as ALPN names it (`h2`, `h3`, `http/1.1`), where the platform tells.
    pub protocol: Option<String>,
}

impl Response {
    /// A header's first value, or whether it is missing or hidden. `name` in lower case.
    pub fn header(&self, name: &str) -> Seen<'_> {
        self.headers.first(name)
    }
}

/// Response headers in the order the platform gives them, and how much of them it lets us see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Names in lower case, with their values. `set-cookie` once for each cookie.
    pub list: Vec<(String, String)>,
    /// How much of them is visible.
    pub view: HeaderView,
}

impl Headers {
    /// A header's first value, or whether it is missing or hidden. `name` in lower case.
    pub fn first(&self, name: &str) -> Seen<'_> {
        match self.all(name).next() {
            Some(value) => Seen::Value(value),
            None if self.hides(name) => Seen::Hidden,
            None => Seen::Missing,
        }
    }

    /// Every value of a header, in order. `name` in lower case.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.list
            .iter()
            .filter(move |(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the platform would hide this header if it were there. `name` in lower case.
    ///
    /// What the target exposes to pages cannot hide from them; `*` is everything, because a scan's requests carry no
    /// credentials. Cookies always hide.
    pub fn hides(&self, name: &str) -> bool {
        let exposed = || {
            self.all("access-control-expose-headers")
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .any(|exposed| exposed == "*" || exposed.eq_ignore_ascii_case(name))
        };
        self.view.hides(name)
            && !(self.view == HeaderView::Cors && !HeaderView::NoCookies.hides(name) && exposed())
    }
}

/// What is known of one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It is there, and this is its value.
    Value(&'a str),
    /// It is not there.
    Missing,
    /// It may be there: the platform hides it.
    Hidden,
}

impl<'a> Seen<'a> {
    /// The value, if it is visible.
    pub fn value(self) -> Option<&'a str> {
        match self {
            Self::Value(value) => Some(value),
            Self::Missing | Self::Hidden => None,
        }
    }
}

/// How much of a response's headers a platform lets us see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderView {
    /// All of them.
    All,
    /// All but `Set-Cookie`: a same-origin answer in a page.
    NoCookies,
    /// The CORS-safelisted ones and those the target exposes: a cross-origin answer in a page.
    Cors,
    /// None, nor the status.
    Opaque,
}

impl HeaderView {
    /// Whether this header would be hidden if it were there. `name` in lower case.
    ///
    /// The safelist is the Fetch standard's "CORS-safelisted response-header name"; `Set-Cookie` is a "forbidden
    /// response-header name" there.
    pub fn hides(self, name: &str) -> bool {
        const SAFELIST: [&str; 7] = [
            "cache-control",
            "content-language",
            "content-length",
            "content-type",
            "expires",
            "last-modified",
            "pragma",
        ];
        match self {
            Self::All => false,
            Self::NoCookies => name == "set-cookie" || name == "set-cookie2",
            Self::Cors => !SAFELIST.contains(&name),
            Self::Opaque => true,
        }
    }
}

/// What was read of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The bytes that were read.
    pub bytes: Vec<u8>,
    /// Whether there was more than the request's bound.
    pub truncated: bool,
}

impl Body {
    /// The bytes as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// How long an exchange took, from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the head of the answer was there.
    pub head: Duration,
    /// Until the body was read, or its bound reached.
    pub total: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// The stage at which it failed.
    pub kind: FetchErrorKind,
    /// The platform's own words, or ours where it has none.
    pub message: String,
    /// For [`FetchErrorKind::BreakerOpen`]: when it makes sense to ask again.
    pub retry_after: Option<Duration>,
}

impl FetchError {
    /// An error of `kind` in these words.
    pub fn new(kind: FetchErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The same error with the time after which it makes sense to ask again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FetchError {}

/// The stage at which a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchErrorKind {
    /// The name does not resolve.
    Dns,
    /// Nobody listens there.
    Refused,
    /// The connection was cut.
    Reset,
    /// There is no way to that network.
    Unreachable,
    /// The TLS handshake or the certificate failed.
    Tls,
    /// No answer in time.
    Timeout,
    /// There is an answer, but CORS forbids a page to read it.
    BlockedByCors,
    /// The scan was cancelled.
    Aborted,
    /// A network error of which the platform says no more (pages).
    Network,
    /// Our own breaker for that host is open: nothing was sent.
    BreakerOpen,
    /// Anything else, such as an answer that is not HTTP.
    Other,
}

impl FetchErrorKind {
    /// The name as reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::BlockedByCors => "blocked-by-cors",
            Self::Aborted => "aborted",
            Self::Network => "network",
            Self::BreakerOpen => "breaker-open",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn headers(view: HeaderView) -> Headers {
        Headers {
            list: vec![("x-frame-options".into(), "DENY".into())],
            view,
        }
    }

    #[test]
    fn what_cors_hides_is_hidden_and_never_missing() {
        let cors = headers(HeaderView::Cors);
        assert_eq!(
            cors.first("x-frame-options"),
            Seen::Value("DENY"),
            "an exposed header is visible"
        );
        assert_eq!(cors.first("strict-transport-security"), Seen::Hidden);
        assert_eq!(
            cors.first("content-type"),
            Seen::Missing,
            "a safelisted header cannot hide"
        );
    }

    #[test]
    fn what_a_target_exposes_cannot_hide_but_for_cookies() {
        let exposing = |names: &str| Headers {
            list: vec![("access-control-expose-headers".into(), names.into())],
            view: HeaderView::Cors,
        };
        assert_eq!(exposing("*").first("mcp-session-id"), Seen::Missing);
        assert_eq!(exposing("*").first("set-cookie"), Seen::Hidden);
        let some = exposing("X-One, MCP-Session-Id");
        assert_eq!(some.first("mcp-session-id"), Seen::Missing);
        assert_eq!(some.first("strict-transport-security"), Seen::Hidden);
    }

    #[test]
    fn a_server_sees_everything_and_a_page_never_sees_cookies() {
        assert_eq!(headers(HeaderView::All).first("set-cookie"), Seen::Missing);
        assert_eq!(headers(HeaderView::NoCookies).first("set-cookie"), Seen::Hidden);
        assert_eq!(
            headers(HeaderView::NoCookies).first("strict-transport-security"),
            Seen::Missing
        );
    }
}
