//! `mcp-threats`: what the tools of a Model Context Protocol server could do to whoever connects a model to it.
//!
//! | room | what is in it |
//! |---|---|
//! | `tool`, `words` | a tool as it introduces itself; texts as words, and patterns over them |
//! | `abilities` | code, files, network, credentials, destruction: by name, description and schema |
//! | `injection` | texts that speak to the model instead of describing |
//! | `shadowing` | names and descriptions that stand in another tool's light |
//! | `combinations` | what tools can do together that none can do alone |
//! | `vector` | how bad it is: CVSS metrics and score |
//!
//! Everything is judged by what the server says of itself; no tool is ever called. A tool that lies well is not found out, and
//! one that only sounds dangerous is told of, with the words that made it sound so.

mod abilities;
mod combinations;
mod injection;
mod shadowing;
#[cfg(test)]
mod tests;
mod tool;
mod vector;
mod words;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use crate::scan::finding::{Finding, Severity};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::target::Target;
use abilities::Ability;
use tool::{Tool, quoted};
use vector::{Reach, Vector};

/// Characters of a description that `mcp-introspect` keeps.
const LONGEST_READ: usize = 4000;
/// Findings that are told; a server of a thousand such tools is no clearer by the last.
const MOST_FINDINGS: usize = 300;
/// Characters of tools that are judged between two turns of others: a few milliseconds' work.
const AT_ONCE: usize = 4000;

/// Judges the tools that `mcp-introspect` has found. Passive: nothing is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct McpThreats;

impl Plugin for McpThreats {
    fn name(&self) -> &'static str {
        "mcp-threats"
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Analysis
    }

    fn needs(&self) -> &'static [&'static str] {
        &["mcp-introspect"]
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        async move {
            let skipped = |why: &str| Err(PluginError::Skipped(why.to_owned()));
            let Some(seen) = earlier.outcome("mcp-introspect") else {
                return skipped("No MCP server was introspected there.");
            };
            if seen.details["refused"].is_string() {
                return skipped("The MCP server asks who calls: what it offers is not known.");
            }
            let reach = if target.is_loopback() {
                Reach::Local
            } else {
                Reach::Network
            };
            Ok(judge(&seen.details, reach, ctx).await)
        }
        .boxed_local()
    }
}

/// What is held against one tool, or against several.
struct Judgement {
    /// The tool's place in the list, where it is one tool.
    tool: Option<usize>,
    id: &'static str,
    title: &'static str,
    reason: String,
    remediation: &'static str,
    vector: Vector,
}

async fn judge(offer: &Value, reach: Reach, ctx: &Context) -> Outcome {
    let entries = |member: &str| offer[member].as_array().map(Vec::as_slice).unwrap_or_default();
    let tools: Vec<Tool<'_>> = entries("tools").iter().map(Tool::read).collect();
    let mut judgements = Vec::new();
    let mut able = Vec::new();
    let mut judged = 0;
    for (index, tool) in tools.iter().enumerate() {
        let size = |tool: &Tool<'_>| 200 + tool.description.len() + 100 * tool.parameters.len();
        judged += size(tool);
        if judged > AT_ONCE {
            judged = 0;
            ctx.give_way().await;
        }
        let abilities = judge_tool(index, tool, reach, &mut judgements);
        able.push((tool.quoted(), abilities));
    }
    for shadow in shadowing::of(&tools) {
        judgements.push(Judgement {
            tool: Some(shadow.tool),
            id: shadow.kind.id(),
            title: shadow.kind.title(),
            reason: format!("{}: {}", tools[shadow.tool].quoted(), shadow.reason),
            remediation: shadow.kind.remediation(),
            vector: shadow.kind.vector(),
        });
    }
    for (member, name) in [
        ("prompts", "name"),
        ("resources", "uri"),
        ("resourceTemplates", "uriTemplate"),
    ] {
        for entry in entries(member) {
            let text = |member: &str| entry[member].as_str().unwrap_or_default();
            let whole = format!("{}\n{}\n{}", text("name"), text("title"), text("description"));
            listen(None, &quoted(text(name)), &whole, &mut judgements);
        }
    }
    listen(
        None,
        "its instructions",
        offer["instructions"].as_str().unwrap_or_default(),
        &mut judgements,
    );
    for combination in combinations::of(&able, reach) {
        let parts = combination
            .parts
            .iter()
            .map(|(verb, names)| format!("{} {verb}", names.join(", ")));
        judgements.push(Judgement {
            tool: None,
            id: combination.id,
            title: combination.title,
            reason: parts.collect::<Vec<_>>().join("; "),
            remediation: combination.remediation,
            vector: combination.vector,
        });
    }
    judgements.sort_by_key(|judgement| core::cmp::Reverse(judgement.vector.tenths()));
    told(&tools, &judgements)
}

/// What one tool can do, and whether its texts speak to the model.
fn judge_tool(index: usize, tool: &Tool<'_>, reach: Reach, judgements: &mut Vec<Judgement>) -> Vec<Ability> {
    let sightings = abilities::of(tool);
    for sighting in &sightings {
        let ability = sighting.ability;
        let Some(id) = ability.id() else {
            continue;
        };
        judgements.push(Judgement {
            tool: Some(index),
            id,
            title: ability.title(),
            reason: format!("{}: {}", tool.quoted(), sighting.reasons.join("; ")),
            remediation: ability.remediation(),
            vector: ability.vector(reach, sighting),
        });
    }
    let abilities: Vec<Ability> = sightings.iter().map(|sighting| sighting.ability).collect();
    let changes = abilities.iter().find(|ability| {
        matches!(
            ability,
            Ability::RunsCode | Ability::WritesFiles | Ability::Destroys | Ability::Sends
        )
    });
    if let Some(changes) = changes.filter(|_| tool.says_read_only) {
        judgements.push(Judgement {
            tool: Some(index),
            id: "misleading-annotation",
            title: "Has a tool that says it only reads, and does more",
            reason: format!(
                "{}: its annotations say `readOnlyHint`; {}",
                tool.quoted(),
                changes.title().replacen("Has", "it is", 1)
            ),
            remediation: "Declare what the tool does: clients ask people, or do not, by these hints.",
            vector: Vector {
                reach,
                complexity: vector::Complexity::Low,
                scope: vector::Scope::Unchanged,
                confidentiality: vector::Impact::None,
                integrity: vector::Impact::Low,
                availability: vector::Impact::None,
            },
        });
    }
    let parameters = tool
        .parameters
        .iter()
        .map(|parameter| format!("{}. {}", parameter.name, parameter.description));
    let mut texts = vec![tool.name.to_owned()];
    texts.extend(parameters);
    // The description comes last: whether it was read to its end shows there.
    texts.push(tool.description.to_owned());
    listen(Some(index), &tool.quoted(), &texts.join("\n"), judgements);
    abilities
}

fn listen(tool: Option<usize>, whose: &str, text: &str, judgements: &mut Vec<Judgement>) {
    if let Some((voice, heard)) = injection::heard(text) {
        judgements.push(Judgement {
            tool,
            id: voice.id(),
            title: voice.title(),
            reason: format!("{whose}: {}", heard.join("; ")),
            remediation: voice.remediation(),
            vector: voice.vector(),
        });
    }
}

/// `judgements` from the worst to the least.
fn told(tools: &[Tool<'_>], judgements: &[Judgement]) -> Outcome {
    let mut findings: Vec<Finding> = judgements
        .iter()
        .take(MOST_FINDINGS)
        .map(|judgement| {
            Finding::new(
                judgement.vector.severity(),
                format!("mcp-threats/{}", judgement.id),
                judgement.title,
            )
            .evidence(judgement.reason.clone())
            .remediation(judgement.remediation)
            .vector(judgement.vector.to_string())
        })
        .collect();
    if judgements.len() > MOST_FINDINGS {
        findings.push(
            Finding::new(Severity::Info, "mcp-threats/more", "Has more than is told here")
                .evidence(format!("{} further judgements", judgements.len() - MOST_FINDINGS)),
        );
    }
    let described = tools.iter().enumerate().map(|(index, tool)| {
        let own: Vec<&Judgement> = judgements
            .iter()
            .filter(|judgement| judgement.tool == Some(index))
            .collect();
        json!({
            "name": tool.name,
            "severity": own.first().map(|worst| worst.vector.severity().name()),
            "score": own.first().map_or(0.0, |worst| worst.vector.score()),
            "vector": own.first().map(|worst| worst.vector.to_string()),
            "kinds": own.iter().map(|judgement| judgement.id).collect::<Vec<_>>(),
        })
    });
    let count = |severity| {
        judgements
            .iter()
            .filter(|judgement| judgement.vector.severity() == severity)
            .count()
    };
    let counts: Vec<String> = Severity::ALL
        .iter()
        .rev()
        .map(|severity| (count(*severity), severity.name()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let told = if counts.is_empty() {
        "nothing to say against them".to_owned()
    } else {
        counts.join(", ")
    };
    Outcome {
        summary: format!("{} tools: {told}", tools.len()),
        details: json!({
            "score": judgements.first().map_or(0.0, |worst| worst.vector.score()),
            "tools": described.collect::<Vec<_>>(),
            "combinations": judgements.iter().filter(|judgement| judgement.id.ends_with("-path")).map(|judgement| json!({
                "name": judgement.id,
                "description": judgement.reason,
                "vector": judgement.vector.to_string(),
            })).collect::<Vec<_>>(),
        }),
        findings,
        response: None,
    }
}
