//! Texts that speak to the model instead of describing: orders, secrecy, what only a machine can see.

use super::vector::{Complexity, Impact, Reach, Scope, Vector};
use super::words::{Words, is_hidden};

/// How a text speaks to the model, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Voice {
    /// More than was read: whatever it says, nobody has looked.
    Unread,
    /// It wants to be used before, or instead of, others.
    Pushing,
    /// Something encoded, which a model can read and a person does not.
    Encoded,
    /// It points at files or conversations that are none of its business.
    Reaching,
    /// Characters or markup that a person does not see.
    Hidden,
    /// It overrides what the model was told, or keeps things from the user.
    Commanding,
}

/// Patterns of `words.rs`.
const PATTERNS: &[(Voice, &str)] = &[
    (
        Voice::Commanding,
        "ignore|disregard|forget|override|bypass previous|prior|above|earlier|all|any|your|other|system instruction|prompt|rule|guideline|direction|safety|restriction",
    ),
    (
        Voice::Commanding,
        "=do|=must|=should =not tell|mention|inform|notify|alert|warn =user|=human|=anyone|=anybody|=operator",
    ),
    (
        Voice::Commanding,
        "=dont|=never tell|mention|inform|notify|alert|warn =user|=human|=anyone|=anybody|=operator",
    ),
    (
        Voice::Commanding,
        "without telling|informing|notifying|mentioning|alerting =user|=human|=anyone|=anybody|=operator",
    ),
    (Voice::Commanding, "keep|remain secret|hidden from user|human"),
    (Voice::Commanding, "=you =are =now"),
    (
        Voice::Commanding,
        "reveal|repeat|print|output|send|include =system prompt|instruction|message",
    ),
    (
        Voice::Reaching,
        "send|include|attach|append|pass|forward|copy|paste content|contents =of ssh|env|credential|password|key|secret|config|history",
    ),
    (
        Voice::Reaching,
        "send|include|attach|append|pass|forward entire|full|whole|complete|previous conversation|chat|context|history",
    ),
    (
        Voice::Pushing,
        "always|must call|use|invoke|run this|=it first|before|instead|tool",
    ),
    (
        Voice::Pushing,
        "before using|calling|invoking|running any|other|another|every tool",
    ),
    (
        Voice::Pushing,
        "call|use|invoke this tool|function before|first|instead any|other|every|all|answering|responding",
    ),
];

/// Fragments that name what only its owner should read.
const PLACES: [&str; 9] = [
    "~/.ssh",
    ".ssh/",
    "id_rsa",
    "id_ed25519",
    ".aws/credentials",
    "/etc/passwd",
    "/etc/shadow",
    "mcp.json",
    "claude_desktop_config",
];

/// Fragments that pretend to be the frame of a conversation, or that a rendered text does not show.
const FRAMES: [&str; 10] = [
    "<important>",
    "<system>",
    "</system>",
    "<|im_start|>",
    "<|system|>",
    "[inst]",
    "<secret>",
    "<hidden>",
    "<instructions>",
    "<!--",
];

/// Base64 of so many characters in a row is no word.
const LONG_RUN: usize = 80;

/// How a text speaks to the model, and what gives it away; none where it does not.
pub(super) fn heard(text: &str) -> Option<(Voice, Vec<String>)> {
    let words = Words::of(text);
    let mut heard: Vec<(Voice, String)> = Vec::new();
    for (voice, pattern) in PATTERNS {
        if let Some(found) = words.find(pattern) {
            heard.push((*voice, format!("“{found}”")));
        }
    }
    let lower = text.to_lowercase();
    let mut fragments = |voice: Voice, list: &[&str]| {
        if let Some(found) = list.iter().find(|fragment| lower.contains(**fragment)) {
            heard.push((voice, format!("`{found}`")));
        }
    };
    fragments(Voice::Reaching, &PLACES);
    fragments(Voice::Hidden, &FRAMES);
    heard.extend(unseen(text).map(|what| (Voice::Hidden, what)));
    if text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')))
        .any(is_encoded)
    {
        heard.push((Voice::Encoded, "something encoded".to_owned()));
    }
    if text.ends_with('…') && text.chars().nth(super::LONGEST_READ).is_some() {
        heard.push((
            Voice::Unread,
            format!("more than {} characters", super::LONGEST_READ),
        ));
    }
    let worst = heard.iter().map(|(voice, _)| *voice).max()?;
    Some((worst, heard.into_iter().map(|(_, what)| what).collect()))
}

/// Characters that a person does not see, in words: how many, which, and what those say that spell out letters.
fn unseen(text: &str) -> Option<String> {
    let strange = |c: &char| is_hidden(*c) || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    let found: Vec<char> = text.chars().filter(strange).collect();
    let first = found.first()?;
    let spelled: String = found
        .iter()
        .filter_map(|c| char::from_u32(u32::from(*c).checked_sub(0xe0000)?))
        .filter(|c| matches!(c, ' '..='~'))
        .take(80)
        .collect();
    let count = found.len();
    let what = if count == 1 { "1 character" } else { "characters" };
    let told = if count == 1 {
        what.to_owned()
    } else {
        format!("{count} {what}")
    };
    let spelled = if spelled.is_empty() {
        String::new()
    } else {
        format!(", which spell “{spelled}”")
    };
    Some(format!(
        "{told} that nobody sees (U+{:04X}){spelled}",
        u32::from(*first)
    ))
}

fn is_encoded(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
    run.len() >= LONG_RUN
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

impl Voice {
    /// What follows when a model listens. The text reaches every client, wherever the server listens.
    pub(super) fn vector(self) -> Vector {
        use Impact::{High, Low, None};
        let (complexity, scope, [confidentiality, integrity, availability]) = match self {
            Self::Commanding => (Complexity::Low, Scope::Changed, [High, High, None]),
            Self::Hidden | Self::Reaching => (Complexity::Low, Scope::Changed, [High, Low, None]),
            Self::Encoded => (Complexity::High, Scope::Changed, [Low, Low, None]),
            Self::Pushing => (Complexity::Low, Scope::Unchanged, [Low, Low, None]),
            Self::Unread => (Complexity::High, Scope::Unchanged, [None, Low, None]),
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

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Commanding | Self::Reaching | Self::Pushing => "prompt-injection",
            Self::Hidden | Self::Encoded => "hidden-text",
            Self::Unread => "unread-text",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Commanding => "Gives orders to the model that reads its list",
            Self::Reaching => "Asks the model for what is none of its business",
            Self::Pushing => "Pushes itself before other tools",
            Self::Hidden => "Hides text from people that a model reads",
            Self::Encoded => "Has encoded text where a description should be",
            Self::Unread => "Has a description too long to be read",
        }
    }

    pub(super) fn remediation(self) -> &'static str {
        match self {
            Self::Commanding | Self::Reaching => {
                "Do not connect a model to this server before its owner has explained the text. Descriptions say what a tool does and take no part in the conversation."
            }
            Self::Pushing => {
                "Say what the tool is good for and leave the choice to the model; where an order of calls matters, enforce it in the server."
            }
            Self::Hidden | Self::Encoded => {
                "Remove what people cannot read; clients should show descriptions as they are, or strip such characters."
            }
            Self::Unread => "Shorten it to what a person would read before approving the tool.",
        }
    }
}
