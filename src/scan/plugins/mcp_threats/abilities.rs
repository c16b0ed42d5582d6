//! What a tool can do that matters, read from its name, its description and its schema.

use core::fmt;

use super::tool::{Tool, quoted};
use super::vector::{Complexity, Impact, Reach, Scope, Vector};

/// Something a tool can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ability {
    RunsCode,
    ReadsFiles,
    WritesFiles,
    Fetches,
    Sends,
    HandlesCredentials,
    Destroys,
    /// Mails, records, people: no finding by itself, a part of combinations.
    ReadsPrivateData,
}

/// An ability, and what gives it away.
pub(super) struct Sighting {
    pub(super) ability: Ability,
    pub(super) reasons: Vec<String>,
    /// Whether what it can be told is bound by a list, a pattern or a format.
    pub(super) is_bound: bool,
    /// Whether it reaches for everything at once.
    pub(super) is_sweeping: bool,
}

/// Where a sign stands. What a sign weighs: two make a sighting.
enum In {
    Name,
    Description,
    Parameter,
}

/// What it takes to be believed.
const ENOUGH: u32 = 2;

use Ability::{
    Destroys, Fetches, HandlesCredentials, ReadsFiles, ReadsPrivateData, RunsCode, Sends, WritesFiles,
};
use In::{Description, Name, Parameter};

/// Patterns of `words.rs`. A word that also has a harmless meaning weighs 1, and needs company.
const SIGNS: &[(Ability, In, u32, &str)] = &[
    (
        RunsCode,
        Name,
        2,
        "shell|bash|zsh|powershell|terminal|subprocess|exec|eval|repl",
    ),
    (
        RunsCode,
        Name,
        2,
        "run|execute|spawn|launch|invoke|eval shell|bash|command|cmd|script|code|program|process|binary|python|javascript|js|node|sql",
    ),
    (RunsCode, Name, 1, "execute|run|evaluate|command"),
    (
        RunsCode,
        Description,
        2,
        "run|execute|evaluate|spawn|launch|interpret shell|bash|command|code|script|program|javascript|python|subprocess|binary|sql",
    ),
    (
        RunsCode,
        Description,
        2,
        "arbitrary|any code|command|script|program|sql",
    ),
    (RunsCode, Description, 1, "shell|terminal|command"),
    (
        RunsCode,
        Parameter,
        1,
        "command|cmd|shell|script|code|argv|sql|expression",
    ),
    (
        ReadsFiles,
        Name,
        2,
        "read|open|load|get|list|cat|search|view|find|tree|stat file|directory|folder|dir",
    ),
    (ReadsFiles, Name, 2, "filesystem"),
    (
        ReadsFiles,
        Description,
        2,
        "read|open|load|list|search|view|return|get file|directory|folder|filesystem",
    ),
    (ReadsFiles, Description, 2, "content of file|directory|folder"),
    (
        ReadsFiles,
        Parameter,
        1,
        "path|file|filename|filepath|directory|folder",
    ),
    (
        WritesFiles,
        Name,
        2,
        "write|save|create|edit|append|move|copy|rename|patch|delete|remove|upload file|directory|folder",
    ),
    (
        WritesFiles,
        Description,
        2,
        "write|save|create|edit|append|move|rename|overwrite|modify|delete|remove file|directory|folder|disk",
    ),
    (
        WritesFiles,
        Parameter,
        1,
        "path|file|filename|filepath|directory|folder",
    ),
    (
        Fetches,
        Name,
        2,
        "download|browse|crawl|scrape|curl|wget|navigate|http",
    ),
    (Fetches, Name, 1, "fetch|request|web|open|visit"),
    (
        Fetches,
        Description,
        2,
        "fetch|download|retrieve|load|request|open|visit|crawl|scrape|browse url|uri|web|webpage|page|website|http|https|internet",
    ),
    (Fetches, Parameter, 1, "url|uri|endpoint|href|website|hostname"),
    (
        Sends,
        Name,
        2,
        "send|post|publish|upload|forward|submit|share|reply email|mail|message|webhook|slack|http|tweet|sms|file|data|report|comment",
    ),
    (Sends, Name, 2, "webhook|sendmail|smtp"),
    (
        Sends,
        Description,
        2,
        "send|post|upload|forward|publish|transmit|share email|mail|message|webhook|url|server|http|external|sms|slack",
    ),
    (Sends, Parameter, 1, "webhook|recipient|to|bcc"),
    (
        HandlesCredentials,
        Name,
        2,
        "password|passwd|passphrase|secret|credential|keychain|vault|dotenv|keystore",
    ),
    (
        HandlesCredentials,
        Name,
        2,
        "api|access|private|ssh|signing|encryption key",
    ),
    (
        HandlesCredentials,
        Name,
        2,
        "auth|access|bearer|session|refresh token",
    ),
    (
        HandlesCredentials,
        Name,
        2,
        "get|read|print|list|show|dump env|environ|environment",
    ),
    (
        HandlesCredentials,
        Description,
        2,
        "read|get|list|return|show|print|dump|retrieve|export|collect|extract password|secret|credential|keychain|cookie",
    ),
    (
        HandlesCredentials,
        Description,
        2,
        "return|show|print|dump|retrieve|export|collect|extract|read|get environment|env variable|vars",
    ),
    (
        HandlesCredentials,
        Description,
        2,
        "return|show|print|dump|retrieve|export|collect|extract|read api|access|private|ssh key|token",
    ),
    (
        HandlesCredentials,
        Parameter,
        2,
        "password|passwd|passphrase|secret|credential",
    ),
    (
        HandlesCredentials,
        Parameter,
        2,
        "api|access|private|ssh|secret|auth|bearer key|token",
    ),
    (
        Destroys,
        Name,
        2,
        "delete|remove|drop|destroy|wipe|purge|erase|truncate|kill|terminate|uninstall|overwrite|shutdown|reboot|unlink|rm",
    ),
    (Destroys, Name, 1, "reset|clear|revoke|cancel|disable|rollback"),
    (
        Destroys,
        Description,
        2,
        "irreversible|irrevocable|irreversibly|permanently|destructive",
    ),
    (Destroys, Description, 2, "cannot undone"),
    (
        Destroys,
        Description,
        1,
        "delete|remove|drop|destroy|wipe|purge|erase|truncate|kill|terminate|overwrite|shut",
    ),
    (
        ReadsPrivateData,
        Name,
        2,
        "read|get|list|search|query|find|fetch|export email|mail|inbox|message|contact|calendar|customer|user|patient|order|invoice|record|database|table|document|note|chat|history",
    ),
    (
        ReadsPrivateData,
        Description,
        2,
        "read|list|search|query|export email|inbox|contact|calendar|customer|patient|invoice|database|private|personal|conversation",
    ),
];

const SWEEPING: &str = "all|any|every|everything|entire|whole|recursive|recursively|force|database|table|bucket|account|repository|disk|permanently|irreversible|irreversibly|wipe|purge|destroy|truncate";

/// Every ability that a tool gives away, in the order of the list.
pub(super) fn of(tool: &Tool<'_>) -> Vec<Sighting> {
    let mut suspected: Vec<Suspicion> = Vec::new();
    let mut add = |ability: Ability, weight: u32, clue: Clue| match suspected
        .iter_mut()
        .find(|known| known.ability == ability)
    {
        Some(known) => known.add(weight, clue),
        None => {
            let mut new = Suspicion {
                ability,
                weight: 0,
                clues: Vec::new(),
            };
            new.add(weight, clue);
            suspected.push(new);
        }
    };
    for (ability, place, weight, pattern) in SIGNS {
        if let Some(clue) = clue(tool, place, pattern) {
            add(*ability, *weight, clue);
        }
    }
    if tool.says_destructive {
        add(Destroys, ENOUGH, Clue::Annotation);
    }
    let is_sweeping =
        tool.name_words.find(SWEEPING).is_some() || tool.description_words.find(SWEEPING).is_some();
    let believed = suspected
        .into_iter()
        .filter(|suspicion| suspicion.weight >= ENOUGH);
    believed
        .map(|Suspicion { ability, clues, .. }| Sighting {
            ability,
            is_bound: clues.iter().any(|clue| matches!(clue, Clue::Bound(_))),
            reasons: clues.iter().map(ToString::to_string).collect(),
            is_sweeping,
        })
        .collect()
}

struct Suspicion {
    ability: Ability,
    weight: u32,
    clues: Vec<Clue>,
}

/// One thing that gives an ability away; words and names as they can be quoted.
#[derive(PartialEq)]
enum Clue {
    Name(String),
    Description(String),
    Takes(String),
    Bound(String),
    Annotation,
}

impl Suspicion {
    fn add(&mut self, weight: u32, clue: Clue) {
        // What is bound to a list of values is no sign, only a circumstance.
        self.weight += if matches!(clue, Clue::Bound(_)) { 0 } else { weight };
        if self.clues.iter().any(|known| known.says(&clue)) {
            return;
        }
        self.clues.retain(|known| !clue.says(known));
        self.clues.push(clue);
    }
}

impl Clue {
    /// Whether `other` adds nothing to this one.
    fn says(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(words), Self::Name(others))
            | (Self::Description(words), Self::Description(others)) => words.contains(others.as_str()),
            _ => self == other,
        }
    }
}

impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(words) => write!(f, "its name says “{words}”"),
            Self::Description(words) => write!(f, "its description says “{words}”"),
            Self::Takes(name) => write!(f, "it takes any text as {name}"),
            Self::Bound(name) => write!(f, "what it takes as {name} is bound by its schema"),
            Self::Annotation => f.write_str("its annotations say `destructiveHint`"),
        }
    }
}

fn clue(tool: &Tool<'_>, place: &In, pattern: &str) -> Option<Clue> {
    match place {
        Name => tool.name_words.find(pattern).map(Clue::Name),
        Description => tool.description_words.find(pattern).map(Clue::Description),
        Parameter => {
            let fits = |parameter: &&super::tool::Parameter<'_>| parameter.words.find(pattern).is_some();
            let mut fitting = tool.parameters.iter().filter(fits);
            let first = fitting.next()?;
            let free = core::iter::once(first)
                .chain(fitting)
                .find(|parameter| parameter.is_free);
            Some(match free {
                Some(free) => Clue::Takes(quoted(free.name)),
                None => Clue::Bound(quoted(first.name)),
            })
        }
    }
}

impl Ability {
    /// The last part of a finding's id; none where it is no finding.
    pub(super) fn id(self) -> Option<&'static str> {
        Some(match self {
            RunsCode => "code-execution",
            ReadsFiles => "file-read",
            WritesFiles => "file-write",
            Fetches => "network-access",
            Sends => "data-sending",
            HandlesCredentials => "credential-access",
            Destroys => "destructive",
            ReadsPrivateData => return None,
        })
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            RunsCode => "Has a tool that runs code or commands",
            ReadsFiles => "Has a tool that reads files",
            WritesFiles => "Has a tool that writes files",
            Fetches => "Has a tool that fetches from the network",
            Sends => "Has a tool that sends data out",
            HandlesCredentials => "Has a tool that handles credentials",
            Destroys => "Has a tool that destroys",
            ReadsPrivateData => "Has a tool that reads private data",
        }
    }

    pub(super) fn remediation(self) -> &'static str {
        match self {
            RunsCode => {
                "Offer the few commands that are needed, each as a tool with typed parameters; run them in a sandbox without network and credentials, and have a person approve each call."
            }
            ReadsFiles => {
                "Bind it to one folder, resolve links and `..` before the check, and leave out what holds credentials."
            }
            WritesFiles => {
                "Bind it to one folder where nothing is run from, resolve links and `..` before the check, and have a person approve each call."
            }
            Fetches => {
                "Allow the hosts that are needed, refuse private and loopback addresses after resolution, and hand on what comes as data, never as instructions."
            }
            Sends => {
                "Fix the recipients or let a person confirm them and the text: whatever the model has seen can be sent."
            }
            HandlesCredentials => {
                "Keep credentials out of the model's sight: let the server use them, and return a reference instead of the value."
            }
            Destroys => {
                "Have a person approve each call, narrow what one call can reach, keep a copy to restore from, and declare `destructiveHint`."
            }
            ReadsPrivateData => "",
        }
    }

    /// What follows when somebody else steers it.
    pub(super) fn vector(self, reach: Reach, sighting: &Sighting) -> Vector {
        use Impact::{High, Low, None};
        let (scope, [confidentiality, integrity, availability]) = match self {
            RunsCode => (Scope::Changed, [High, High, High]),
            ReadsFiles => (Scope::Unchanged, [High, None, None]),
            WritesFiles => (Scope::Unchanged, [None, High, Low]),
            Fetches => (Scope::Changed, [Low, Low, None]),
            Sends => (Scope::Unchanged, [Low, Low, None]),
            HandlesCredentials => (Scope::Changed, [High, None, None]),
            Destroys if sighting.is_sweeping => (Scope::Unchanged, [None, High, High]),
            Destroys => (Scope::Unchanged, [None, Low, Low]),
            ReadsPrivateData => (Scope::Unchanged, [Low, None, None]),
        };
        let complexity = if sighting.is_bound {
            Complexity::High
        } else {
            Complexity::Low
        };
        Vector {
            reach,
            complexity,
            scope,
            confidentiality,
            integrity,
            availability,
        }
    }
}
