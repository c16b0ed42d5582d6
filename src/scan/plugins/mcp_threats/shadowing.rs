//! Tools that stand in another's light: the same name, a name that looks the same, or a description that meddles with
//! other tools.

use std::collections::HashMap;

use super::tool::{Tool, quoted};
use super::vector::{Complexity, Impact, Reach, Scope, Vector};
use super::words::{Words, is_hidden, latin};

/// One tool that shadows another.
pub(super) struct Shadow {
    pub(super) kind: Kind,
    /// The tool, by its place in the list.
    pub(super) tool: usize,
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two tools have one name.
    Duplicate,
    /// A name that people take for another.
    LookAlike,
    /// Two names that differ in writing only.
    Alike,
    /// A description that changes how another tool of the server is used.
    Meddling,
    /// The same, with a tool that is not this server's.
    MeddlingElsewhere,
}

/// Names that tools of other servers, and of clients themselves, commonly have.
const WELL_KNOWN: [&str; 16] = [
    "send_email",
    "read_file",
    "write_file",
    "edit_file",
    "list_directory",
    "execute_command",
    "run_command",
    "web_search",
    "web_fetch",
    "create_issue",
    "create_pull_request",
    "git_commit",
    "git_push",
    "send_message",
    "post_message",
    "search_files",
];

/// Words around another tool's name.
const NEAR: usize = 6;

/// All of them, in the order of the list.
pub(super) fn of(tools: &[Tool<'_>]) -> Vec<Shadow> {
    let known: Vec<Words> = WELL_KNOWN.iter().map(|name| Words::of(name)).collect();
    let names = Names::of(tools, &known);
    let mut first_of: HashMap<String, &Tool<'_>> = HashMap::new();
    let mut shadows = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let mut add = |kind, reason| {
            shadows.push(Shadow {
                kind,
                tool: index,
                reason,
            });
        };
        let own = tool.name_words.joined();
        match first_of.get(&own) {
            Some(twin) if twin.name == tool.name => {
                add(
                    Kind::Duplicate,
                    "it is there twice, and which one is called is up to the client".to_owned(),
                );
            }
            Some(twin) => {
                let masked = is_masked(tool.name) || is_masked(twin.name);
                let kind = if masked { Kind::LookAlike } else { Kind::Alike };
                add(kind, format!("it reads like {}", twin.quoted()));
            }
            None if is_masked(tool.name) => {
                add(
                    Kind::LookAlike,
                    "it is written with letters that look like others, or that nobody sees".to_owned(),
                );
            }
            None => {}
        }
        if !own.is_empty() {
            first_of.entry(own).or_insert(tool);
        }
        if let Some((kind, reason)) = names.meddled_with(tool) {
            add(kind, reason);
        }
    }
    shadows
}

/// Whether a name has letters of other scripts among Latin ones, or what nobody sees.
fn is_masked(name: &str) -> bool {
    let latin_too = name.chars().any(|character| character.is_ascii_alphabetic());
    name.chars()
        .any(|character| is_hidden(character) || (latin_too && latin(character) != character))
}

/// The names that a description may meddle with, by their first word: those of more than one word, for one word is too often
/// just a word.
struct Names<'t>(HashMap<&'t str, Vec<(&'t Words, Kind)>>);

impl<'t> Names<'t> {
    fn of(tools: &'t [Tool<'_>], known: &'t [Words]) -> Self {
        let ours = tools.iter().map(|tool| (&tool.name_words, Kind::Meddling));
        let known = known.iter().map(|name| (name, Kind::MeddlingElsewhere));
        let mut names: HashMap<&str, Vec<(&Words, Kind)>> = HashMap::new();
        for (name, kind) in ours.chain(known) {
            // Ours come first, and stand for the well-known ones of the same name.
            if let Some(first) = name.iter().next().filter(|_| name.count() > 1) {
                names.entry(first).or_default().push((name, kind));
            }
        }
        Self(names)
    }

    /// What a description says of another tool that is more than a mention.
    fn meddled_with(&self, tool: &Tool<'_>) -> Option<(Kind, String)> {
        let text = &tool.description_words;
        text.iter().enumerate().find_map(|(start, word)| {
            let named = self
                .0
                .get(word)?
                .iter()
                .find(|(name, _)| text.has_at(start, name));
            let (name, kind) = named.filter(|(name, _)| name.joined() != tool.name_words.joined())?;
            let said = said(text, start, start + name.count())?;
            let whose = if *kind == Kind::Meddling {
                ""
            } else {
                ", which is not this server's"
            };
            Some((
                *kind,
                format!(
                    "its description says “{said}” about {}{whose}",
                    quoted(&name.joined())
                ),
            ))
        })
    }
}

/// The words near `start..end` that are more than a mention.
fn said(text: &Words, start: usize, end: usize) -> Option<String> {
    let before = text.part(start.saturating_sub(NEAR), start);
    let after = text.part(end, end + NEAR);
    before
        .find("instead|rather =of|=than")
        .or_else(|| before.find("replace|override|shadow|intercept"))
        .or_else(|| before.find("=dont|=never|=not use|call|invoke"))
        .or_else(|| before.find("whenever|=every|=each"))
        .or_else(|| after.find("=is|=are deprecated|broken|unsafe|insecure|disabled|unreliable"))
        .or_else(|| after.find("=must|always"))
}

impl Kind {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate-name",
            Self::LookAlike | Self::Alike => "look-alike-name",
            Self::Meddling | Self::MeddlingElsewhere => "tool-shadowing",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Duplicate => "Has two tools of one name",
            Self::LookAlike | Self::Alike => "Has a tool whose name is easily taken for another",
            Self::Meddling | Self::MeddlingElsewhere => "Has a tool that meddles with another",
        }
    }

    pub(super) fn remediation(self) -> &'static str {
        match self {
            Self::Duplicate | Self::LookAlike | Self::Alike => {
                "Give each tool a name of its own, in plain letters; clients should name the server beside the tool."
            }
            Self::Meddling | Self::MeddlingElsewhere => {
                "Let a description speak of its own tool. Do not connect this server beside others before its owner has explained the text."
            }
        }
    }

    /// What follows when the one is called for the other.
    pub(super) fn vector(self) -> Vector {
        use Impact::{High, Low, None};
        let (complexity, scope, [confidentiality, integrity, availability]) = match self {
            Self::MeddlingElsewhere | Self::LookAlike => (Complexity::Low, Scope::Changed, [Low, High, None]),
            Self::Duplicate => (Complexity::High, Scope::Changed, [Low, High, None]),
            Self::Meddling => (Complexity::High, Scope::Changed, [Low, Low, None]),
            Self::Alike => (Complexity::High, Scope::Unchanged, [None, Low, None]),
        };
        Vector {
            reach: Reach::Network,
            complexity,
            scope,
            confidentiality,
            integrity,
            availability,
        }
    }
}
