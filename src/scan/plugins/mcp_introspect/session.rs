//! A client of the Model Context Protocol over Streamable HTTP, as far as looking around needs one
//! (<https://modelcontextprotocol.io/specification/2025-11-25/basic/transports>).

use core::time::Duration;

use serde_json::{Value, json};

use super::sse;
use crate::scan::fetch::{FetchError, Headers, Method, Request, Response, Seen};
use crate::scan::plugin::Context;

/// The versions this client speaks, newest first.
pub(super) const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// From here on the negotiated version goes along with every request.
const VERSION_HEADER_SINCE: &str = "2025-06-18";
/// How often a stream that ended early is taken up again.
const MOST_RESUMPTIONS: u32 = 3;
/// The longest pause a server may ask for before that.
const LONGEST_RETRY: u64 = 2000;
/// A message longer than this is not read to its end.
const LONGEST_MESSAGE: usize = 4 << 20;

/// One session with one server.
pub(super) struct Session<'a> {
    ctx: &'a Context,
    endpoint: String,
    timeout: Duration,
    id: Option<String>,
    version: Option<String>,
    sent: u64,
    /// How the last answer came.
    pub(super) transport: Transport,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Json,
    Sse,
}

impl Transport {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Sse => "sse",
        }
    }
}

/// How a call ended that brought no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing came back.
    NoAnswer(FetchError),
    /// Something came back that is no JSON-RPC answer.
    NotMcp(Response),
    /// The server says no, in the words of JSON-RPC.
    Refused { code: i64, message: String },
    /// The server wants to know who is asking.
    Unauthorized(Response),
}

impl Failure {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::NoAnswer(error) => error.message.clone(),
            Self::NotMcp(response) => format!("status {} without a JSON-RPC answer", response.status),
            Self::Refused { code, message } => format!("error {code}: {message}"),
            Self::Unauthorized(response) => format!("status {}", response.status),
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(ctx: &'a Context, endpoint: String, timeout: Duration) -> Self {
        Self {
            ctx,
            endpoint,
            timeout,
            id: None,
            version: None,
            sent: 0,
            transport: Transport::Json,
        }
    }

    /// The handshake: `initialize`, then `notifications/initialized`.
    pub(super) async fn open(&mut self) -> Result<Opened, Failure> {
        let params = json!({
            "protocolVersion": VERSIONS[0],
            "capabilities": {},
            "clientInfo": { "name": "tidegate", "version": env!("CARGO_PKG_VERSION") },
        });
        let (response, result) = self.exchange("initialize", Some(params)).await?;
        let Some(version) = result["protocolVersion"].as_str() else {
            return Err(Failure::NotMcp(response));
        };
        let session = response.header("mcp-session-id");
        self.id = session.value().map(str::to_owned);
        let session_hidden = session == Seen::Hidden;
        self.version = Some(version.to_owned());
        let opened = Opened {
            version: version.to_owned(),
            session_hidden,
            result,
            response,
        };
        if opened.is_spoken() {
            // What comes back is nothing, or of no interest: a server that minds will say so in the next answer.
            let _ = self
                .send(self.message("notifications/initialized", None, None))
                .await;
        }
        Ok(opened)
    }

    /// Calls a method and returns its result.
    pub(super) async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, Failure> {
        self.exchange(method, params).await.map(|(_, result)| result)
    }

    /// Whether the server handed out a session.
    pub(super) fn is_held(&self) -> bool {
        self.id.is_some()
    }

    /// Ends the session, where there is one. A server may refuse to (405); that is its affair.
    pub(super) async fn close(self) {
        if self.id.is_some() {
            let _ = self.ctx.fetch(self.request(Method::Delete)).await;
        }
    }

    async fn exchange(&mut self, method: &str, params: Option<Value>) -> Result<(Response, Value), Failure> {
        self.sent += 1;
        let id = self.sent;
        let message = self.message(method, Some(id), params);
        let response = self.send(message).await.map_err(Failure::NoAnswer)?;
        if matches!(response.status, 401 | 403) {
            return Err(Failure::Unauthorized(response));
        }
        let answer = match self.answer_in(&response, id) {
            Some(answer) => Some(answer),
            None => self.take_up(&response, id).await,
        };
        let Some(mut answer) = answer else {
            return Err(Failure::NotMcp(response));
        };
        match answer.get_mut("result") {
            Some(result) => Ok((response, result.take())),
            None => Err(refusal(&answer).unwrap_or(Failure::NotMcp(response))),
        }
    }

    fn message(&self, method: &str, id: Option<u64>, params: Option<Value>) -> Value {
        let mut message = json!({ "jsonrpc": "2.0", "method": method });
        if let Some(id) = id {
            message["id"] = id.into();
        }
        if let Some(params) = params {
            message["params"] = params;
        }
        message
    }

    async fn send(&self, message: Value) -> Result<Response, FetchError> {
        let id = message.get("id").and_then(Value::as_u64);
        let request = self
            .request(Method::Post)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(message.to_string())
            .until(until_answered(id));
        self.ctx.fetch(request).await
    }

    fn request(&self, method: Method) -> Request {
        let mut request = Request::new(method, &self.endpoint)
            .timeout(self.timeout)
            .max_body(LONGEST_MESSAGE);
        if let Some(id) = &self.id {
            request = request.header("mcp-session-id", id);
        }
        match &self.version {
            Some(version) if version.as_str() >= VERSION_HEADER_SINCE => {
                request.header("mcp-protocol-version", version)
            }
            _ => request,
        }
    }

    fn answer_in(&mut self, response: &Response, id: u64) -> Option<Value> {
        if is_stream(response) {
            let events = sse::parse(&response.body.bytes).events;
            let answer = events.iter().find_map(|event| answers(&event.data, id));
            self.transport = if answer.is_some() {
                Transport::Sse
            } else {
                self.transport
            };
            return answer;
        }
        let text = response.body.text();
        let answer = answers(&text, id).or_else(|| {
            // An error about a request that could not be read has no id.
            serde_json::from_str(&text)
                .ok()
                .filter(|value: &Value| value["jsonrpc"] == "2.0" && value["error"].is_object())
        });
        self.transport = if answer.is_some() {
            Transport::Json
        } else {
            self.transport
        };
        answer
    }

    /// A server may end a stream before its answer and have the client come back for it ("Resumability").
    async fn take_up(&mut self, response: &Response, id: u64) -> Option<Value> {
        let mut stream = is_stream(response).then(|| sse::parse(&response.body.bytes))?;
        for _ in 0..MOST_RESUMPTIONS {
            let last = stream.last_id.take()?;
            let pause = stream.retry.unwrap_or(100).min(LONGEST_RETRY);
            self.ctx.sleep(Duration::from_millis(pause)).await;
            let request = self
                .request(Method::Get)
                .header("accept", "text/event-stream")
                .header("last-event-id", &last);
            let request = request.until(until_answered(Some(id)));
            let response = self.ctx.fetch(request).await.ok().filter(is_stream)?;
            if let Some(answer) = self.answer_in(&response, id) {
                return Some(answer);
            }
            let retry = stream.retry;
            stream = sse::parse(&response.body.bytes);
            stream.last_id.get_or_insert(last);
            stream.retry = stream.retry.or(retry);
        }
        None
    }
}

/// What the handshake brought.
pub(super) struct Opened {
    pub(super) version: String,
    /// There may be a session that the platform hides from us.
    pub(super) session_hidden: bool,
    pub(super) result: Value,
    pub(super) response: Response,
}

impl Opened {
    pub(super) fn is_spoken(&self) -> bool {
        VERSIONS.contains(&self.version.as_str())
    }
}

fn is_stream(response: &Response) -> bool {
    content_type(&response.headers) == ContentType::Events
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentType {
    Json,
    Events,
    Other,
}

fn content_type(headers: &Headers) -> ContentType {
    let kind = headers.first("content-type").value().unwrap_or_default();
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "text/event-stream" => ContentType::Events,
        "application/json" => ContentType::Json,
        essence if essence.ends_with("+json") => ContentType::Json,
        _ => ContentType::Other,
    }
}

/// Reading ends with the answer, for a server may leave its stream open, and begins only where there can be one: a page of
/// any size is of no interest.
fn until_answered(id: Option<u64>) -> impl Fn(&Headers, &[u8]) -> bool + 'static {
    let answered = sse::watch(move |data| id.is_some_and(|id| answers(data, id).is_some()));
    move |headers, body| match content_type(headers) {
        ContentType::Events => answered(body),
        ContentType::Json => false,
        ContentType::Other => true,
    }
}

/// The message in `text`, if it is the answer to `id`. Batches existed in 2025-03-26.
fn answers(text: &str, id: u64) -> Option<Value> {
    let is_it = |value: &Value| {
        let same = value["id"] == id || value["id"].as_str().is_some_and(|text| text == id.to_string());
        same && (value.get("result").is_some() || value.get("error").is_some())
    };
    match serde_json::from_str(text).ok()? {
        Value::Array(batch) => batch.into_iter().find(is_it),
        value => Some(value).filter(is_it),
    }
}

fn refusal(answer: &Value) -> Option<Failure> {
    let error = answer.get("error")?;
    let code = error["code"].as_i64().unwrap_or_default();
    let message = error["message"].as_str().unwrap_or("no reason given").to_owned();
    Some(Failure::Refused { code, message })
}
