//! `mcp-introspect`: what a Model Context Protocol server offers, and how it is reached.

mod session;
mod sse;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::PluginEntry;
use super::probed::Probed;
use crate::scan::fetch::{Response, Seen};
use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::target::{Scheme, Target};
use session::{Failure, Opened, Session};

/// Pages of one list that are read: a list that has more does not end.
const MOST_PAGES: usize = 50;
/// Entries of one list that are kept.
const MOST_ENTRIES: usize = 1000;
/// Characters of one text that are kept.
const LONGEST_TEXT: usize = 4000;

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
                    let why =
                        format!("The MCP server at {endpoint} refused to begin: error {code}: {message}");
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
        "protocolVersion": opened.version,
        "serverInfo": {
            "name": text(&server["name"]).unwrap_or_default(),
            "version": text(&server["version"]).unwrap_or_default(),
            "title": text(&server["title"]),
        },
        "session": held,
        "transport": transport.name(),
        "capabilities": opened.result["capabilities"],
        "instructions": text(&opened.result["instructions"]),
        "tools": lists.of("tools"),
        "resources": lists.of("resources"),
        "resourceTemplates": lists.of("resourceTemplates"),
        "prompts": lists.of("prompts"),
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

/// The lists of one server.
#[derive(Default)]
struct Lists {
    entries: Map<String, Value>,
    endless: Vec<&'static str>,
    failed: Vec<(&'static str, String)>,
}

impl Lists {
    /// Follows a list page by page. A list that fails is told of and takes no other with it.
    async fn read(&mut self, session: &mut Session<'_>, method: &'static str, member: &'static str) {
        let mut read = Vec::new();
        let mut cursor: Option<Value> = None;
        for page in 0.. {
            let params = cursor.as_ref().map(|cursor| json!({ "cursor": cursor }));
            let mut result = match session.call(method, params).await {
                Ok(result) => result,
                // Templates are offered by few, and the capability does not tell by whom.
                Err(Failure::Refused { code: -32601, .. }) if member == "resourceTemplates" => break,
                Err(failure) => {
                    self.failed.push((method, failure.sentence()));
                    break;
                }
            };
            if let Value::Array(entries) = result[member].take() {
                read.extend(entries.into_iter().map(|entry| kept(member, entry)));
            }
            let next = result.get("nextCursor").filter(|next| next.is_string()).cloned();
            if next.is_none() {
                break;
            }
            if next == cursor || page + 1 >= MOST_PAGES || read.len() >= MOST_ENTRIES {
                self.endless.push(method);
                break;
            }
            cursor = next;
        }
        read.truncate(MOST_ENTRIES);
        self.entries.insert(member.to_owned(), Value::Array(read));
    }

    fn of(&self, member: &str) -> Value {
        self.entries.get(member).cloned().unwrap_or_else(|| json!([]))
    }

    fn names(&self, member: &str, name: &str) -> Vec<String> {
        let entries = self.entries.get(member).and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry[name].as_str().map(str::to_owned))
            .collect()
    }
}

/// What is kept of an entry: the members the specification names, each at a bearable length.
fn kept(member: &str, entry: Value) -> Value {
    let members: &[&str] = match member {
        "tools" => &["name", "title", "description", "inputSchema", "annotations"],
        "resources" => &["uri", "name", "title", "mimeType", "description"],
        "resourceTemplates" => &["uriTemplate", "name", "description"],
        _ => &["name", "title", "description", "arguments"],
    };
    let Value::Object(mut entry) = entry else {
        return json!({});
    };
    let mut kept = Map::new();
    for member in members {
        match entry.remove(*member) {
            Some(Value::String(text)) => {
                kept.insert((*member).to_owned(), Value::String(shortened(&text)));
            }
            Some(Value::Null) | None => {}
            Some(value) => {
                kept.insert((*member).to_owned(), value);
            }
        }
    }
    Value::Object(kept)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn findings(target: &Target, endpoint: &str, opened: &Opened, lists: &Lists) -> Vec<Finding> {
    let mut findings = vec![exposed(lists)];
    let outside = !target.is_loopback();
    if lists
        .entries
        .values()
        .any(|list| list.as_array().is_some_and(|list| !list.is_empty()))
    {
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
            .evidence(format!("it chose {}", opened.version))
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
                opened.version,
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
        details: json!({ "endpoint": endpoint, "refused": "unauthorized", "tools": [], "resources": [], "resourceTemplates": [], "prompts": [] }),
        response: None,
    }
}
