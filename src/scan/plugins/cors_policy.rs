//! `cors-policy`: which origins a target lets read its answers.
//!
//! A server that decides by the `Origin` header often decides too much: it repeats whatever it is sent, or compares by
//! prefix, suffix or an unescaped pattern. The only way to know is to ask as somebody else, so this plugin is active,
//! and it works only where a request may carry an `Origin` of our choice. The origins it asks as lie under `.invalid`
//! (RFC 6761) wherever the trick allows it.

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde_json::json;

use crate::scan::fetch::{Capabilities, Request, Response};
use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::plugins::probed::Probed;
use crate::scan::target::{Scheme, Target};

/// The name of the plugin.
pub const NAME: &str = "cors-policy";

/// Asks a target as other origins, one after the other: at most seven `GET`s, of which no body is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct CorsPolicy;

impl Plugin for CorsPolicy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn mode(&self) -> Mode {
        Mode::Active
    }

    fn level(&self) -> Level {
        Level::Introspection
    }

    fn needs(&self) -> &'static [&'static str] {
        &["http-probe"]
    }

    fn available(&self, _target: &Target, capabilities: Capabilities) -> Result<(), String> {
        if capabilities.sets_origin {
            Ok(())
        } else {
            Err("CORS cannot be probed from a browser, which sets the Origin header itself.".to_owned())
        }
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        async move {
            if Probed::of(earlier) == Probed::Unreachable {
                return Err(PluginError::Skipped("Nobody answers there.".to_owned()));
            }
            let mut answers: Vec<Answer> = Vec::new();
            for trick in Trick::ALL {
                // Who lets everybody in tells nothing more by letting in a lookalike.
                if trick.is_lookalike()
                    && answers
                        .iter()
                        .any(|answer| answer.trick == Trick::Anyone && answer.is_let_in())
                {
                    continue;
                }
                let Some(origin) = trick.origin(target) else {
                    continue;
                };
                let request = Request::get(target.url())
                    .header("origin", origin.clone())
                    .max_body(0);
                match ctx.fetch(request).await {
                    // Asked to slow down: what we have must do.
                    Ok(response) if response.status == 429 && !answers.is_empty() => break,
                    Ok(response) => answers.push(Answer::read(trick, origin, &response)),
                    Err(error) if answers.is_empty() => return Err(error.into()),
                    Err(_) => break,
                }
            }
            Ok(assess(&answers))
        }
        .boxed_local()
    }
}

/// Whom a request pretends to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Trick {
    /// A stranger.
    Anyone,
    /// The origin of sandboxed frames and local files.
    Null,
    /// A stranger whose name begins with the target's.
    Prefix,
    /// A stranger whose name ends with the target's.
    Suffix,
    /// A stranger who fits where a dot of the target's name stands for any character.
    Dot,
    /// Some subdomain of the target.
    Subdomain,
    /// The target itself without TLS.
    Unencrypted,
}

impl Trick {
    const ALL: [Self; 7] = [
        Self::Anyone,
        Self::Null,
        Self::Prefix,
        Self::Suffix,
        Self::Dot,
        Self::Subdomain,
        Self::Unencrypted,
    ];

    fn is_lookalike(self) -> bool {
        !matches!(self, Self::Anyone | Self::Null)
    }

    /// The origin to ask as; none where the trick does not apply to such a target.
    fn origin(self, target: &Target) -> Option<String> {
        let (scheme, host) = (target.scheme.name(), &target.host);
        let is_address = host.parse::<core::net::IpAddr>().is_ok();
        let is_name = !is_address && host.contains('.');
        Some(match self {
            Self::Anyone => "https://tidegate.invalid".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Prefix if !host.contains(':') => format!("{scheme}://{host}.tidegate.invalid"),
            Self::Suffix if is_name => format!("{scheme}://tidegate{host}"),
            Self::Dot if is_name && host.matches('.').count() > 1 => {
                format!("{scheme}://{}", host.replacen('.', "x", 1))
            }
            Self::Subdomain if is_name => format!("{scheme}://tidegate-probe.{host}"),
            Self::Unencrypted if target.scheme == Scheme::Https && is_name => format!("http://{host}"),
            _ => return None,
        })
    }
}

/// What the target said to one origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Answer {
    trick: Trick,
    /// Whom we asked as.
    origin: String,
    /// `Access-Control-Allow-Origin`, as it came.
    allowed: Option<String>,
    /// `Access-Control-Allow-Credentials: true`
    credentials: bool,
    /// Whether `Vary` names `Origin` (or everything).
    varies: bool,
}

impl Answer {
    fn read(trick: Trick, origin: String, response: &Response) -> Self {
        let joined = |name| {
            let values: Vec<&str> = response.headers.all(name).map(str::trim).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        Self {
            trick,
            origin,
            allowed: joined("access-control-allow-origin"),
            // Fetch compares the bytes: `True` is not `true`.
            credentials: joined("access-control-allow-credentials").as_deref() == Some("true"),
            varies: joined("vary").is_some_and(|fields| {
                fields
                    .split(',')
                    .any(|field| field.trim() == "*" || field.trim().eq_ignore_ascii_case("origin"))
            }),
        }
    }

    /// Whether the asking origin was let in by its name.
    fn is_let_in(&self) -> bool {
        self.allowed.as_deref() == Some(self.origin.as_str())
    }

    fn is_open(&self) -> bool {
        self.allowed.as_deref() == Some("*")
    }

    fn described(&self) -> String {
        let mut text = format!(
            "Origin: {} → Access-Control-Allow-Origin: {}",
            self.origin,
            self.allowed.as_deref().unwrap_or("(none)")
        );
        if self.credentials {
            text.push_str("; Access-Control-Allow-Credentials: true");
        }
        text
    }
}

/// What the answers come to.
fn assess(answers: &[Answer]) -> Outcome {
    let let_in: Vec<&Answer> = answers.iter().filter(|answer| answer.is_let_in()).collect();
    let open = answers.iter().find(|answer| answer.is_open());
    let mut findings: Vec<Finding> = let_in.iter().map(|answer| judge(answer)).collect();
    if let Some(answer) = open.filter(|answer| answer.credentials) {
        findings.push(finding(
            Severity::Low,
            "wildcard-with-credentials",
            "Every origin is allowed together with credentials, which browsers refuse",
            answer,
            "Drop Access-Control-Allow-Credentials, or answer each trusted origin by its name.",
        ));
    }
    if let Some(answer) = let_in.iter().find(|answer| !answer.varies) {
        findings.push(finding(
            Severity::Low,
            "vary-missing",
            "The answer depends on the asking origin but does not say so, so a cache may hand it to another",
            answer,
            "Send Vary: Origin with every answer that looks at the Origin header, also where it allows nobody.",
        ));
    }
    if let Some(answer) = answers.iter().find(|answer| {
        answer
            .allowed
            .as_deref()
            .is_some_and(|value| value.contains([',', ' ']))
    }) {
        findings.push(finding(
            Severity::Low,
            "several-origins",
            "Access-Control-Allow-Origin names several origins, so browsers let nobody in",
            answer,
            "Send exactly one: the asking origin, if it is trusted.",
        ));
    }
    let universal = let_in
        .iter()
        .any(|answer| answer.trick == Trick::Anyone && answer.credentials);
    Outcome {
        summary: if universal {
            "any origin, with credentials".to_owned()
        } else if !let_in.is_empty() {
            format!("{} of {} foreign origins let in", let_in.len(), answers.len())
        } else if open.is_some() {
            "public".to_owned()
        } else {
            "no foreign origin let in".to_owned()
        },
        details: json!({ "universal": universal, "answers": answers }),
        findings,
        response: None,
    }
}

fn judge(answer: &Answer) -> Finding {
    use Severity::{High, Info, Low, Medium};
    const LIST: &str = "Compare the whole origin with a list of the ones you trust.";
    let with = answer.credentials;
    let (severity, kind, title, remediation) = match answer.trick {
        Trick::Anyone if with => (
            High,
            "any-origin-with-credentials",
            "Any site can read answers as the person who visits it",
            "Answer only origins from a list of the ones you trust; where everybody may read, send * without credentials.",
        ),
        Trick::Anyone => (
            Low,
            "any-origin",
            "Whatever origin asks is allowed",
            "Where everybody may read, send *; otherwise compare the origin with a list.",
        ),
        Trick::Null => (
            if with { High } else { Medium },
            "null-origin",
            "The origin null is allowed, which any site gets by a sandboxed frame",
            "Never allow null; serve local files and sandboxed frames from an origin of their own.",
        ),
        Trick::Prefix => (
            if with { High } else { Medium },
            "prefix-match",
            "Strangers whose name begins with the target's are allowed",
            LIST,
        ),
        Trick::Suffix => (
            if with { High } else { Medium },
            "suffix-match",
            "Strangers whose name ends with the target's are allowed",
            LIST,
        ),
        Trick::Dot => (
            if with { High } else { Medium },
            "pattern-match",
            "Strangers are allowed where a dot of the target's name stands for any character",
            LIST,
        ),
        Trick::Subdomain => (
            if with { Low } else { Info },
            "any-subdomain",
            "Every subdomain is allowed, also one that was taken over",
            "Name the subdomains that need it.",
        ),
        Trick::Unencrypted => (
            if with { Medium } else { Low },
            "unencrypted-origin",
            "The target's unencrypted twin is allowed, and with it anyone on the way",
            "Allow https origins only.",
        ),
    };
    finding(severity, kind, title, answer, remediation)
}

fn finding(severity: Severity, kind: &str, title: &str, answer: &Answer, remediation: &str) -> Finding {
    Finding::new(severity, format!("{NAME}/{kind}"), title)
        .evidence(answer.described())
        .remediation(remediation)
}

#[cfg(test)]
mod tests;
