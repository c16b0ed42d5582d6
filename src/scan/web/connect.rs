//! TCP through a function of the host's: Node, Deno and Bun have sockets, `fetch` has none.

use core::time::Duration;

use futures::future::LocalBoxFuture;
use js_sys::{Function, Object, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::{Abort, property, set};
use crate::scan::plugin::{Connect, PortState};

/// Calls `connect(host, port, { timeout, signal })`, which promises `"open"`, `"closed"`, `"no-answer"` or `"unknown"`.
#[derive(Clone, Debug)]
pub struct JsConnect(Function);

impl JsConnect {
    /// Connects through this function, which must run no code of a user's before it returns.
    pub fn new(connect: Function) -> Self {
        Self(connect)
    }
}

impl Connect for JsConnect {
    fn connect(&self, host: &str, port: u16, timeout: Duration) -> LocalBoxFuture<'static, PortState> {
        let connect = self.0.clone();
        let host = JsValue::from_str(host);
        Box::pin(async move {
            let abort = Abort::new();
            let options: JsValue = Object::new().into();
            set(
                &options,
                "timeout",
                &JsValue::from_f64(timeout.as_secs_f64() * 1000.0),
            );
            set(&options, "signal", &abort.signal());
            let called = connect.call3(
                &JsValue::UNDEFINED,
                &host,
                &JsValue::from_f64(port.into()),
                &options,
            );
            let Ok(Ok(promise)) = called.map(JsCast::dyn_into::<Promise>) else {
                return PortState::Unknown("`connect` did not return a promise".to_owned());
            };
            match JsFuture::from(promise).await {
                Ok(state) => match state.as_string().as_deref() {
                    Some("open") => PortState::Open,
                    Some("closed") => PortState::Closed,
                    Some("no-answer") => PortState::NoAnswer,
                    _ => PortState::Unknown("the host does not tell".to_owned()),
                },
                Err(error) => {
                    let message = property(&error, "message").as_string();
                    PortState::Unknown(message.unwrap_or_else(|| "the connection failed".to_owned()))
                }
            }
        })
    }
}
