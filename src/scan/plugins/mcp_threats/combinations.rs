//! What tools can do together that none can do alone.
//!
//! A model that reads a stranger's text may follow it. Then it matters what else is in its hand: private data and a way out make
//! a leak (Willison, "The lethal trifecta for AI agents", 2025), a stranger's text and a way to run it make a remote shell.

use super::abilities::Ability::{
    self, Destroys, Fetches, HandlesCredentials, ReadsFiles, ReadsPrivateData, RunsCode, Sends, WritesFiles,
};
use super::vector::{Complexity, Impact, Reach, Scope, Vector};

/// One dangerous combination: what it is, and which tools make it.
pub(super) struct Combination {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) remediation: &'static str,
    /// Each part in words, with the tools that play it.
    pub(super) parts: Vec<(&'static str, Vec<String>)>,
    pub(super) vector: Vector,
}

/// Tools that are named of each part.
const MOST_NAMED: usize = 3;

/// The combinations that tools with these abilities make. `able` names each tool with all that it can do.
pub(super) fn of(able: &[(String, Vec<Ability>)], reach: Reach) -> Vec<Combination> {
    let who = |abilities: &[Ability]| -> Vec<String> {
        let fits = |(_, has): &&(String, Vec<Ability>)| has.iter().any(|ability| abilities.contains(ability));
        able.iter()
            .filter(fits)
            .map(|(name, _)| name.clone())
            .take(MOST_NAMED)
            .collect()
    };
    let vector = |[confidentiality, integrity, availability]: [Impact; 3]| Vector {
        reach,
        complexity: Complexity::Low,
        scope: Scope::Changed,
        confidentiality,
        integrity,
        availability,
    };
    let (runs, writes, destroys) = (who(&[RunsCode]), who(&[WritesFiles]), who(&[Destroys]));
    let (strangers, out) = (who(&[Fetches]), who(&[Fetches, Sends]));
    let private = who(&[ReadsFiles, HandlesCredentials, ReadsPrivateData]);
    use Impact::{High, Low, None};
    let mut found = Vec::new();
    if !private.is_empty() && !out.is_empty() && !is_one(&private, &out) {
        let lured = !strangers.is_empty();
        found.push(Combination {
            id: "exfiltration-path",
            title: "Reads what is private and has a way out for it",
            remediation: "Keep the two in different servers, or sessions; let a person confirm whatever leaves; bind the way out to known hosts.",
            parts: vec![("reads", private), ("sends", out)],
            vector: vector(if lured { [High, Low, None] } else { [High, None, None] }),
        });
    }
    if !strangers.is_empty() && !runs.is_empty() && !is_one(&strangers, &runs) {
        found.push(Combination {
            id: "remote-code-path",
            title: "Brings in text of strangers and runs code",
            remediation: "Keep the two in different servers, or sessions; run code without network and have a person approve each run.",
            parts: vec![("brings in", strangers.clone()), ("runs", runs.clone())],
            vector: vector([High, High, High]),
        });
    }
    if !strangers.is_empty() && !destroys.is_empty() && !is_one(&strangers, &destroys) {
        found.push(Combination {
            id: "remote-destruction-path",
            title: "Brings in text of strangers and destroys",
            remediation: "Have a person approve whatever destroys, and say what it is that asks for it.",
            parts: vec![("brings in", strangers), ("destroys", destroys)],
            vector: vector([None, High, Low]),
        });
    }
    if !writes.is_empty() && !runs.is_empty() && !is_one(&writes, &runs) {
        found.push(Combination {
            id: "write-and-run-path",
            title: "Writes files and runs code",
            remediation: "Write where nothing is run from, and run only what was there before.",
            parts: vec![("writes", writes), ("runs", runs)],
            vector: vector([High, High, Low]),
        });
    }
    found
}

/// Whether both parts are played by one and the same tool, which has been judged already.
fn is_one(one: &[String], other: &[String]) -> bool {
    one.len() == 1 && one == other
}
