//! `port-probe`: does anybody listen there.
//!
//! With sockets (Node, Deno, Bun) a connection tells. In a page only `fetch` is there, and it tells one thing honestly: an
//! answer of any kind means *open*; a failure may be anything, so it means *unknown*, never *closed*.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde_json::json;

use super::PluginEntry;
use crate::machine::time::Instant;
use crate::scan::fetch::{Capabilities, Request};
use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Connect, Context, Earlier, Level, Mode, Outcome, Plugin, PluginError, PortState};
use crate::scan::target::Target;

/// Connections to one host start at least this far apart, however many of its ports are asked for.
const PACE: Duration = Duration::from_millis(20);

/// Services that seldom mean to be reached by everybody.
const GUARDED: [(u16, &str); 10] = [
    (2375, "Docker's unencrypted API"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (5984, "CouchDB"),
    (6379, "Redis"),
    (9200, "Elasticsearch"),
    (11211, "memcached"),
    (27017, "MongoDB"),
    (3389, "Remote Desktop"),
    (5900, "VNC"),
];

/// Looks whether anybody listens on the target's port.
#[derive(Debug)]
pub struct PortProbe {
    mode: Mode,
    timeout: Duration,
    next: RefCell<BTreeMap<String, Instant>>,
}

pub(super) fn entry() -> PluginEntry {
    PluginEntry::new("port-probe", Mode::Passive, Level::Discovery, |config| {
        Ok(Rc::new(PortProbe::new(config.mode(), config.request_timeout())))
    })
}

impl PortProbe {
    /// A probe for a scan of this mode, which waits so long for an answer.
    pub fn new(mode: Mode, timeout: Duration) -> Self {
        Self {
            mode,
            timeout,
            next: RefCell::default(),
        }
    }
}

impl Plugin for PortProbe {
    fn name(&self) -> &'static str {
        "port-probe"
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Discovery
    }

    fn priority(&self) -> i32 {
        90
    }

    /// A page looks at what `http-probe` saw before it asks anew.
    fn needs(&self) -> &'static [&'static str] {
        &["http-probe"]
    }

    fn available(&self, target: &Target, _: Capabilities) -> Result<(), String> {
        if target.from_range && self.mode == Mode::Passive {
            return Err("Ports of a range are probed in active mode only.".to_owned());
        }
        Ok(())
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        Box::pin(async move {
            self.take_turn(&target.host, ctx).await;
            let before = ctx.now();
            let (state, how) = match ctx.connector() {
                Some(connector) => self.connect(target, connector).await,
                None => self.ask(target, ctx, earlier).await,
            };
            Ok(outcome(target, &state, how, ctx.now().since(before)))
        })
    }
}

impl PortProbe {
    async fn take_turn(&self, host: &str, ctx: &Context) {
        let now = ctx.now();
        let turn = {
            let mut next = self.next.borrow_mut();
            let turn = next.get(host).map_or(now, |free| now.max(*free));
            next.insert(host.to_owned(), turn + PACE);
            turn
        };
        if turn > now {
            ctx.sleep(turn.since(now)).await;
        }
    }

    async fn connect(&self, target: &Target, connector: &dyn Connect) -> (PortState, &'static str) {
        (
            connector.connect(&target.host, target.port, self.timeout).await,
            "a TCP connection",
        )
    }

    async fn ask(&self, target: &Target, ctx: &Context, earlier: &Earlier) -> (PortState, &'static str) {
        let probed = earlier
            .outcome("http-probe")
            .and_then(|outcome| outcome.details["reachable"].as_bool());
        let answers = match probed {
            Some(reachable) => reachable,
            None => {
                let request = Request::get(target.origin())
                    .timeout(self.timeout)
                    .max_body(0)
                    .opaque();
                ctx.fetch(request).await.is_ok()
            }
        };
        if answers {
            (PortState::Open, "an HTTP answer")
        } else {
            (
                PortState::Unknown("this host has no sockets, and a failed request says nothing".to_owned()),
                "no HTTP answer",
            )
        }
    }
}

fn outcome(target: &Target, state: &PortState, how: &str, took: Duration) -> Outcome {
    let (name, why) = match state {
        PortState::Open => ("open", None),
        PortState::Closed => ("closed", None),
        PortState::NoAnswer => ("no-answer", None),
        PortState::Unknown(why) => ("unknown", Some(why)),
    };
    let summary = match why {
        Some(why) => format!("port {} is unknown: {why}", target.port),
        None if *state == PortState::NoAnswer => format!("port {} does not answer", target.port),
        None => format!("port {} is {name}", target.port),
    };
    Outcome {
        summary,
        findings: findings(target, state, how),
        details: json!({
            "host": target.host,
            "port": target.port,
            "state": name,
            "how": how,
            "latency": took.as_micros() as f64 / 1000.0,
        }),
        response: None,
    }
}

fn findings(target: &Target, state: &PortState, how: &str) -> Vec<Finding> {
    if *state != PortState::Open {
        return Vec::new();
    }
    if let Some((port, service)) = GUARDED.iter().find(|(port, _)| *port == target.port) {
        let severity = if target.is_loopback() {
            Severity::Info
        } else {
            Severity::Medium
        };
        return vec![
            Finding::new(
                severity,
                "port-probe/guarded-service",
                format!("The usual port of {service} is open"),
            )
            .evidence(format!("{how} on port {port}"))
            .remediation("Let a firewall admit only those who need it."),
        ];
    }
    if target.from_range {
        let title = "A port of the range is open";
        return vec![
            Finding::new(Severity::Info, "port-probe/open", title)
                .evidence(format!("{how} on port {}", target.port)),
        ];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use crate::scan::fake::{Answer, FakeFetcher};
    use crate::scan::target::Entry;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    struct Sockets(Rc<RefCell<Vec<u16>>>);

    impl Connect for Sockets {
        fn connect(&self, _: &str, port: u16, _: Duration) -> LocalBoxFuture<'static, PortState> {
            self.0.borrow_mut().push(port);
            Box::pin(async move {
                if port.is_multiple_of(2) {
                    PortState::Open
                } else {
                    PortState::Closed
                }
            })
        }
    }

    fn targets(text: &str) -> Vec<Target> {
        Entry::parse(text).unwrap().targets().collect()
    }

    fn probe(text: &str, sockets: bool) -> (Vec<Outcome>, VirtualRuntime, FakeFetcher) {
        let runtime = VirtualRuntime::new();
        let fake = FakeFetcher::new(Rc::new(runtime.clone()));
        fake.on("http://up:", |_| Answer::status(0));
        let connector: Option<Rc<dyn Connect>> = if sockets {
            Some(Rc::new(Sockets(Rc::default())))
        } else {
            None
        };
        let ctx = Context::new(Rc::new(fake.clone()), Rc::new(runtime.clone())).with_connector(connector);
        let plugin = PortProbe::new(Mode::Active, Duration::from_secs(1));
        let run = |target: Target| {
            runtime.block_on(async { plugin.run(&target, &ctx, &Earlier::default()).await.unwrap() })
        };
        let outcomes = targets(text).into_iter().map(run).collect();
        (outcomes, runtime, fake)
    }

    #[test]
    fn a_socket_tells_open_from_closed() {
        let (outcomes, _, fake) = probe("up:8000-8001", true);
        let said: Vec<_> = outcomes.iter().map(|outcome| outcome.summary.as_str()).collect();
        assert_eq!(said, ["port 8000 is open", "port 8001 is closed"]);
        assert_eq!(outcomes[0].findings[0].id, "port-probe/open");
        assert!(fake.requests().is_empty(), "a connection is enough");
    }

    #[test]
    fn without_sockets_a_failure_is_unknown_and_never_closed() {
        let (outcomes, _, _) = probe("up:8000", false);
        assert_eq!(outcomes[0].details["state"], "open");
        let (outcomes, _, _) = probe("down:8000", false);
        assert_eq!(outcomes[0].details["state"], "unknown");
    }

    #[test]
    fn ports_of_one_host_are_asked_one_after_another() {
        let (_, runtime, _) = probe("up:8000-8009", true);
        assert_eq!(
            crate::future::Runtime::now(&runtime),
            Instant::from_micros(9 * 20_000)
        );
    }

    #[test]
    fn a_range_is_left_alone_in_passive_mode() {
        let passive = PortProbe::new(Mode::Passive, Duration::from_secs(1));
        assert!(
            passive
                .available(&targets("up:1-2")[0], Capabilities::SERVER)
                .is_err()
        );
        assert!(
            passive
                .available(&targets("up:1")[0], Capabilities::SERVER)
                .is_ok()
        );
    }

    #[test]
    fn a_database_that_everybody_can_reach_is_worth_a_word() {
        let (outcomes, _, _) = probe("up:5432", true);
        assert_eq!(
            (
                outcomes[0].findings[0].severity,
                outcomes[0].findings[0].id.as_str()
            ),
            (Severity::Medium, "port-probe/guarded-service")
        );
        let (outcomes, _, _) = probe("127.0.0.1:5432", true);
        assert_eq!(outcomes[0].findings[0].severity, Severity::Info);
    }
}
