//! What a JavaScript host means when it rejects a `fetch`.

use wasm_bindgen::JsValue;

use super::{Host, property};
use crate::scan::fetch::{FetchError, FetchErrorKind};

/// What marks each kind, in the codes and sentences of Node (`error.cause.code`), Deno, Bun (`error.code`) and workerd.
/// The first that is found decides.
const MARKS: [(&str, FetchErrorKind); 39] = [
    ("AbortError", FetchErrorKind::Aborted),
    ("ENOTFOUND", FetchErrorKind::Dns),
    ("EAI_AGAIN", FetchErrorKind::Dns),
    ("dns error", FetchErrorKind::Dns),
    ("failed to lookup", FetchErrorKind::Dns),
    ("DNSResolve", FetchErrorKind::Dns),
    ("ECONNREFUSED", FetchErrorKind::Refused),
    ("ConnectionRefused", FetchErrorKind::Refused),
    ("onnection refused", FetchErrorKind::Refused),
    ("ECONNRESET", FetchErrorKind::Reset),
    ("EPIPE", FetchErrorKind::Reset),
    ("UND_ERR_SOCKET", FetchErrorKind::Reset),
    ("ConnectionClosed", FetchErrorKind::Reset),
    ("onnection reset", FetchErrorKind::Reset),
    ("onnection closed", FetchErrorKind::Reset),
    ("closed unexpectedly", FetchErrorKind::Reset),
    ("closed before message completed", FetchErrorKind::Reset),
    ("broken pipe", FetchErrorKind::Reset),
    // All that workerd says, whether nobody listened or the connection was cut.
    ("onnection lost", FetchErrorKind::Network),
    ("socket hang up", FetchErrorKind::Reset),
    ("EHOSTUNREACH", FetchErrorKind::Unreachable),
    ("ENETUNREACH", FetchErrorKind::Unreachable),
    ("No route to host", FetchErrorKind::Unreachable),
    ("etwork is unreachable", FetchErrorKind::Unreachable),
    ("ETIMEDOUT", FetchErrorKind::Timeout),
    ("UND_ERR_CONNECT_TIMEOUT", FetchErrorKind::Timeout),
    ("UND_ERR_HEADERS_TIMEOUT", FetchErrorKind::Timeout),
    ("TimeoutError", FetchErrorKind::Timeout),
    ("timed out", FetchErrorKind::Timeout),
    ("CERT_", FetchErrorKind::Tls),
    ("_CERT", FetchErrorKind::Tls),
    ("certificate", FetchErrorKind::Tls),
    ("ERR_TLS", FetchErrorKind::Tls),
    ("ERR_SSL", FetchErrorKind::Tls),
    ("EPROTO", FetchErrorKind::Tls),
    ("UNABLE_TO_VERIFY", FetchErrorKind::Tls),
    ("handshake", FetchErrorKind::Tls),
    ("TLS", FetchErrorKind::Tls),
    ("FailedToOpenSocket", FetchErrorKind::Refused),
];

/// Deepest chain of `cause` that is looked at: nobody nests deeper, and a circle must end.
const DEEPEST: u32 = 4;

pub(super) fn classify(error: &JsValue, host: Host) -> FetchError {
    let mut said = Vec::new();
    collect(error, 0, &mut said);
    // The innermost words are the plainest: `connect ECONNREFUSED 127.0.0.1:1` under `fetch failed`.
    let message = said
        .last()
        .map_or("the request failed", |said| said.words.as_str());
    let marks = said
        .iter()
        .map(|said| format!("{} {} {}", said.name, said.code, said.words));
    let everything = marks.collect::<Vec<_>>().join("\n");
    let found = MARKS
        .iter()
        .find(|(mark, _)| everything.contains(mark))
        .map(|(_, kind)| *kind);
    let kind = match (found, host) {
        (Some(FetchErrorKind::Aborted), _) => FetchErrorKind::Aborted,
        // A page is told nothing on purpose, whatever its browser's words are.
        (_, Host::Browser) => FetchErrorKind::Network,
        (Some(kind), Host::Server) => kind,
        (None, Host::Server) => FetchErrorKind::Other,
    };
    FetchError::new(kind, message)
}

struct Said {
    name: String,
    code: String,
    words: String,
}

fn collect(error: &JsValue, depth: u32, said: &mut Vec<Said>) {
    if depth > DEEPEST || error.is_undefined() || error.is_null() {
        return;
    }
    let text = |name| property(error, name).as_string().unwrap_or_default();
    let (name, code, message) = (text("name"), text("code"), text("message"));
    let words = match (message.is_empty(), code.is_empty()) {
        (false, _) => message,
        (true, false) => code.clone(),
        (true, true) => error.as_string().unwrap_or_default(),
    };
    if !words.is_empty() {
        said.push(Said { name, code, words });
    }
    // An AggregateError of one attempt for each address: the last one speaks for all.
    let errors = property(error, "errors");
    if js_sys::Array::is_array(&errors) {
        let errors = js_sys::Array::from(&errors);
        collect(&errors.get(errors.length().saturating_sub(1)), depth + 1, said);
    }
    collect(&property(error, "cause"), depth + 1, said);
}
