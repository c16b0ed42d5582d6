//! What looks at a target: the [`Plugin`] trait, and what a plugin is given and gives back.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fetch::{Capabilities, FetchError, Fetcher, Request, Response};
use super::finding::Finding;
use super::target::Target;
use crate::future::Runtime;
use crate::machine::time::Instant;

/// What looks at one target at a time. Object-safe, and neither it nor its futures need be `Send`.
pub trait Plugin {
    /// The name, in kebab-case. Unique among the plugins of a scan.
    fn name(&self) -> &'static str;

    /// Whether it only sends what an ordinary client would send.
    fn mode(&self) -> Mode;

    /// The pool it runs in.
    fn level(&self) -> Level;

    /// Higher runs earlier on the same target, where needs allow. −100…100, default 0.
    fn priority(&self) -> i32 {
        0
    }

    /// Slots of its level that a run takes. Default 1.
    fn weight(&self) -> u32 {
        1
    }

    /// Plugins whose outcome on the same target must be there before this one starts. A plugin named here that fails,
    /// or is not part of the scan, does not stop this one: it finds no outcome in `earlier` and decides by itself.
    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether there is anything to do on this target here; the error is the reason, in one sentence. Asked at once,
    /// before anything is sent.
    ///
    /// # Errors
    /// The reason why the run is skipped.
    fn available(&self, _target: &Target, _capabilities: Capabilities) -> Result<(), String> {
        Ok(())
    }

    /// Looks at `target`.
    ///
    /// # Errors
    /// What kept it from saying anything about the target. An unreachable target is not an error of `http-probe`: it
    /// is what it found.
    ///
    /// # Cancel safety
    /// The engine drops the future when the run times out or the scan is cancelled.
    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>>;
}

/// Whether a plugin only sends what an ordinary client would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only what an ordinary client would send.
    Passive,
    /// Probes that a target's owner may notice. Includes the passive plugins.
    Active,
}

impl Mode {
    /// The name as reports and options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passive => "passive",
            Self::Active => "active",
        }
    }
}

/// The pools of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Is anybody there: 50 at once.
    Discovery,
    /// Batches of targets: 10 at once.
    Batch,
    /// A closer look, several requests each: 5 at once.
    Introspection,
    /// CPU work on what was fetched: 3 at once.
    Analysis,
    /// Pressure, progress, time left: 1.
    Monitor,
}

impl Level {
    /// Every level, in the order in which a scan goes through them.
    pub const ALL: [Self; 5] = [
        Self::Discovery,
        Self::Batch,
        Self::Introspection,
        Self::Analysis,
        Self::Monitor,
    ];

    /// The name as reports and options spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Batch => "batch",
            Self::Introspection => "introspection",
            Self::Analysis => "analysis",
            Self::Monitor => "monitor",
        }
    }
}

/// What a plugin says about a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// One line for a list of results, such as `200 in 12 ms`.
    pub summary: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What a detail view shows, and what later plugins read. Text in it is the target's: never markup.
    pub details: Value,
    /// What to carry to later plugins but not to reports: the page's response, for instance.
    #[serde(skip)]
    pub response: Option<Rc<Response>>,
}

/// Why a plugin has nothing to say about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginError {
    /// There was nothing to do; the reason, in one sentence. Reported as `skipped`, not as an error.
    Skipped(String),
    /// It failed; why, in one sentence.
    Failed(String),
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) | Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for PluginError {}

impl From<FetchError> for PluginError {
    fn from(error: FetchError) -> Self {
        Self::Failed(error.message)
    }
}

/// The outcomes that the plugins it [needs](Plugin::needs) had on the same target, by name. Only those that ended well are there.
#[derive(Clone, Debug, Default)]
pub struct Earlier(HashMap<Rc<str>, Rc<Outcome>>);

impl Earlier {
    pub(super) fn new(outcomes: HashMap<Rc<str>, Rc<Outcome>>) -> Self {
        Self(outcomes)
    }

    /// The outcome of `plugin`, if it ended well.
    pub fn outcome(&self, plugin: &str) -> Option<&Outcome> {
        self.0.get(plugin).map(Rc::as_ref)
    }

    /// Adds an outcome.
    pub fn add(&mut self, plugin: impl Into<Rc<str>>, outcome: Rc<Outcome>) {
        self.0.insert(plugin.into(), outcome);
    }
}

/// What a plugin is given to look with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    fetcher: Rc<dyn Fetcher>,
    clock: Rc<dyn Clock>,
    connector: Option<Rc<dyn Connect>>,
}

impl Context {
    /// A context over a fetcher and a clock. Inside a scan the engine's fetcher keeps the bounds on each host.
    pub fn new(fetcher: Rc<dyn Fetcher>, clock: Rc<dyn Clock>) -> Self {
        Self {
            fetcher,
            clock,
            connector: None,
        }
    }

    /// The same context with a way to open TCP connections.
    #[must_use]
    pub fn with_connector(mut self, connector: Option<Rc<dyn Connect>>) -> Self {
        self.connector = connector;
        self
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    ///
    /// # Cancel safety
    /// Dropping the future aborts the request.
    pub async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        self.fetcher.fetch(request).await
    }

    /// What this platform lets a scan do and see.
    pub fn capabilities(&self) -> Capabilities {
        self.fetcher.capabilities()
    }

    /// The way to open TCP connections, where the platform has one.
    pub fn connector(&self) -> Option<&dyn Connect> {
        self.connector.as_deref()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.reading()
    }

    /// Lets the host do other work (paint, answer events, run other plugins) before going on.
    pub async fn give_way(&self) {
        self.clock.give_way().await;
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        self.clock.wait(duration).await;
    }
}

/// The time, as a plugin needs it: what is left of a [`Runtime`] behind a pointer. Every runtime is one.
pub trait Clock {
    /// The time.
    fn reading(&self) -> Instant;
    /// A future that is ready `duration` from now.
    fn wait(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
    /// A future that is ready when the host has had its turn.
    fn give_way(&self) -> LocalBoxFuture<'static, ()>;
}

impl<R: Runtime> Clock for R {
    fn reading(&self) -> Instant {
        self.now()
    }

    fn wait(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.sleep(duration))
    }

    fn give_way(&self) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.yield_now())
    }
}

/// What opens TCP connections, only to see whether somebody answers.
pub trait Connect {
    /// Connects to `host:port` and closes at once.
    fn connect(&self, host: &str, port: u16, timeout: Duration) -> LocalBoxFuture<'static, PortState>;
}

/// What a connection attempt tells about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Somebody answers.
    Open,
    /// Somebody says that nobody listens.
    Closed,
    /// Nobody answered in time: filtered, or lost.
    NoAnswer,
    /// The platform does not tell; why, in a few words.
    Unknown(String),
}
