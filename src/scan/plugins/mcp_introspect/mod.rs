//! `mcp-introspect`: what a Model Context Protocol server offers, and how it is reached.

mod lists;
mod session;
mod sse;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::PluginEntry;
use super::probed::Probed;
use crate::scan::fetch::{Response, Seen};
use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::target::{Scheme, Target};
use lists::{Lists, MOST_ENTRIES, MOST_PAGES, shortened};
use session::{Failure, Opened, Session};

/// Opens a session as a client would, reads every list, and ends the session.
#[derive(Clone, Copy, Debug)]
pub struct McpIntrospect {
    timeout: Duration,
}

pub(super) fn entry() -> PluginEntry {
    PluginEntry::new("mcp-introspect", Mode::Passive, Level::Introspection, |config| {
        Ok(Rc::new(McpIntrospect::new(config.request_timeout())))
    })
}

impl McpIntrospect {
    /// An introspection each of whose requests may take so long.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl Plugin for McpIntrospect {
    fn name(&self) -> &'static str {
        "mcp-introspect"
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Introspection
    }

    fn needs(&self) -> &'static [&'static str] {
        &["http-probe"]
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        Box::pin(async move {
            if Probed::of(earlier) == Probed::Unreachable {
                return Err(PluginError::Skipped("Nobody answers there.".to_owned()));
            }
            self.look(target, ctx).await
        })
    }
}

impl McpIntrospect {
    /// The target's own path, and `/mcp` where it has none: where the protocol's own servers put it.
    async fn look(&self, target: &Target, ctx: &Context) -> Result<Outcome, PluginError> {
        let mut endpoints = vec![target.url()];
        if target.path == "/" {
            endpoints.push(format!("{}/mcp", target.origin()));
        }
        let mut first = None;
        for endpoint in endpoints {
            let mut session = Session::new(ctx, endpoint.clone(), self.timeout);
            match session.open().await {
                Ok(opened) => return introspect(target, &endpoint, session, opened).await,
                Err(Failure::Unauthorized(response)) if asks_for_a_token(&response, &endpoint) => {
                    return Ok(locked(target, &endpoint, &response));
                }
                Err(Failure::Refused { code, message }) => {
                    let why = format!(
                        "The MCP server at {endpoint} refused to begin: error {code}: {}",
                        shortened(&message)
                    );
                    return Err(PluginError::Failed(why));
                }
                Err(failure) => {
                    let _ = first.get_or_insert(failure.sentence());
                }
            }
        }
        let why = first.unwrap_or_default();
        Err(PluginError::Skipped(format!(
            "No MCP server answers there: {why}."
        )))
    }
}

async fn introspect(
    target: &Target,
    endpoint: &str,
    mut session: Session<'_>,
    opened: Opened,
) -> Result<Outcome, PluginError> {
    let offers = |what: &str| {
        opened.result["capabilities"]
            .get(what)
            .is_some_and(Value::is_object)
    };
    let mut lists = Lists::default();
    let capabilities = lists.room_for("capabilities", &opened.result["capabilities"]);
    if opened.is_spoken() {
        for (capability, method, member) in [
            ("tools", "tools/list", "tools"),
            ("resources", "resources/list", "resources"),
            ("resources", "resources/templates/list", "resourceTemplates"),
            ("prompts", "prompts/list", "prompts"),
        ] {
            if offers(capability) {
                lists.read(&mut session, method, member).await;
            }
        }
    }
    let transport = session.transport;
    let held = session.is_held();
    session.close().await;

    let server = &opened.result["serverInfo"];
    let text = |value: &Value| value.as_str().map(shortened);
    let details = json!({
        "endpoint": endpoint,
        "protocolVersion": shortened(&opened.version),
        "serverInfo": {
            "name": text(&server["name"]).unwrap_or_default(),
            "version": text(&server["version"]).unwrap_or_default(),
            "title": text(&server["title"]),
        },
        "session": held,
        "transport": transport.name(),
        "capabilities": capabilities,
        "instructions": text(&opened.result["instructions"]),
        "tools": lists.of("tools"),
        "resources": lists.of("resources"),
        "resourceTemplates": lists.of("resourceTemplates"),
        "prompts": lists.of("prompts"),
        "cut": lists.cut(),
    });
    let findings = findings(target, endpoint, &opened, &lists);
    let count = |member| lists.of(member).as_array().map_or(0, Vec::len);
    let summary = format!(
        "{}: {} tools, {} resources, {} prompts",
        text(&server["name"]).unwrap_or_else(|| "MCP".to_owned()),
        count("tools"),
        count("resources"),
        count("prompts")
    );
    Ok(Outcome {
        summary,
        findings,
        details,
        response: None,
    })
}

fn findings(target: &Target, endpoint: &str, opened: &Opened, lists: &Lists) -> Vec<Finding> {
    let mut findings = vec![exposed(lists)];
    let outside = !target.is_loopback();
    if !lists.are_empty() {
        let severity = if outside { Severity::Medium } else { Severity::Low };
        findings.push(
            Finding::new(severity, "mcp-introspect/no-authorization", "Offers all this to anybody")
                .evidence(format!("{endpoint} answered `initialize` without asking who calls"))
                .remediation("Ask for a token as the specification's authorization section describes, or admit only those who need it."),
        );
    }
    if target.scheme == Scheme::Http && outside {
        findings.push(
            Finding::new(Severity::High, "mcp-introspect/plain-http", "Is reached without encryption")
                .evidence(endpoint)
                .remediation("Serve it over HTTPS: what tools are asked and answer travels readable and can be changed on the way."),
        );
    }
    findings.extend(sharing(opened));
    if !opened.is_spoken() {
        findings.push(
            Finding::new(
                Severity::Low,
                "mcp-introspect/unknown-version",
                "Speaks a version of the protocol that is not known",
            )
            .evidence(format!("it chose {}", shortened(&opened.version)))
            .remediation("Offer a published version; clients disconnect from others."),
        );
    } else if opened.version.as_str() < session::VERSIONS[2] {
        findings.push(
            Finding::new(
                Severity::Info,
                "mcp-introspect/old-version",
                "Speaks an old version of the protocol only",
            )
            .evidence(format!(
                "it chose {}, where {} was offered",
                shortened(&opened.version),
                session::VERSIONS[0]
            ))
            .remediation("Update the server's library."),
        );
    }
    for method in &lists.endless {
        findings.push(
            Finding::new(
                Severity::Low,
                "mcp-introspect/endless-list",
                "Has a list that does not end",
            )
            .evidence(format!(
                "`{method}` always names a next page; {MOST_PAGES} pages or {MOST_ENTRIES} entries were read"
            ))
            .remediation(
                "Leave `nextCursor` out on the last page: clients that read all pages never finish.",
            ),
        );
    }
    if let Some(sentence) = lists.cut() {
        findings.push(
            Finding::new(
                Severity::Low,
                "mcp-introspect/long-record",
                "Says more of itself than is kept",
            )
            .evidence(sentence)
            .remediation("Offer fewer tools with shorter schemas: a client pays for all of it in each conversation, and what is left out here is not judged."),
        );
    }
    for (method, why) in &lists.failed {
        findings.push(
            Finding::new(
                Severity::Low,
                "mcp-introspect/failing-list",
                "Offers a list that cannot be read",
            )
            .evidence(format!("`{method}`: {why}"))
            .remediation("Answer the lists that the declared capabilities promise."),
        );
    }
    findings
}

fn exposed(lists: &Lists) -> Finding {
    let tools = lists.names("tools", "name");
    let (resources, prompts) = (lists.names("resources", "uri"), lists.names("prompts", "name"));
    let title = format!(
        "Exposes {} tools, {} resources and {} prompts",
        tools.len(),
        resources.len(),
        prompts.len()
    );
    let line =
        |what: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let named = [
        line("tools", tools),
        line("resources", resources),
        line("prompts", prompts),
    ];
    Finding::new(Severity::Info, "mcp-introspect/exposed", title).evidence(shortened(
        &named.into_iter().flatten().collect::<Vec<_>>().join("; "),
    ))
}

/// How pages of other origins reach it.
fn sharing(opened: &Opened) -> Option<Finding> {
    if opened.session_hidden {
        return Some(
            Finding::new(
                Severity::Info,
                "mcp-introspect/session-hidden",
                "May hide its session from pages",
            )
            .evidence("CORS does not expose `Mcp-Session-Id`")
            .remediation("If pages are to use it, send `Access-Control-Expose-Headers: Mcp-Session-Id`."),
        );
    }
    let allowed = opened.response.header("access-control-allow-origin");
    (allowed == Seen::Value("*")).then(|| {
        Finding::new(Severity::Low, "mcp-introspect/any-page", "Any page may talk to it")
            .evidence("access-control-allow-origin: *")
            .remediation("Name the origins that need it, and check `Origin` on every request, as the specification demands.")
    })
}

fn asks_for_a_token(response: &Response, endpoint: &str) -> bool {
    let challenge = response
        .header("www-authenticate")
        .value()
        .unwrap_or_default()
        .to_ascii_lowercase();
    challenge.contains("bearer") || endpoint.split('?').next().unwrap_or(endpoint).ends_with("/mcp")
}

fn locked(target: &Target, endpoint: &str, response: &Response) -> Outcome {
    let challenge = response.header("www-authenticate").value();
    let mut findings = vec![
        Finding::new(
            Severity::Info,
            "mcp-introspect/authorization",
            "Asks who calls before it answers",
        )
        .evidence(challenge.map_or_else(
            || format!("status {}", response.status),
            |text| format!("www-authenticate: {text}"),
        )),
    ];
    if target.scheme == Scheme::Http && !target.is_loopback() {
        findings.push(
            Finding::new(
                Severity::High,
                "mcp-introspect/plain-http",
                "Is reached without encryption",
            )
            .evidence(endpoint)
            .remediation("Serve it over HTTPS: tokens travel readable."),
        );
    }
    Outcome {
        summary: "asks for authorization".to_owned(),
        findings,
        details: json!({ "endpoint": endpoint, "refused": "unauthorized", "tools": [], "resources": [], "resourceTemplates": [], "prompts": [], "cut": null }),
        response: None,
    }
}
