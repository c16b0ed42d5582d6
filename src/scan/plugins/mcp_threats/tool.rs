//! One tool, as it introduces itself.

use serde_json::Value;

use super::words::Words;

/// Parameters of one tool that are looked at, and how deep.
const MOST_PARAMETERS: usize = 200;
const DEEPEST: usize = 5;

/// A tool's name, what it says it does, and what it takes.
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) parameters: Vec<Parameter<'a>>,
    pub(super) name_words: Words,
    pub(super) description_words: Words,
    /// What its annotations say: nothing, or whether it only reads.
    pub(super) says_read_only: bool,
    pub(super) says_destructive: bool,
}

/// A parameter that a tool takes.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) words: Words,
    /// Whether it takes any text, without a list of values, a pattern or a format to keep to.
    pub(super) is_free: bool,
}

impl<'a> Tool<'a> {
    /// The tool that an entry of a server's list describes.
    pub(super) fn read(entry: &'a Value) -> Self {
        let text = |member: &str| entry[member].as_str().unwrap_or_default();
        let mut parameters = Vec::new();
        collect(&entry["inputSchema"], 0, &mut parameters);
        let annotations = &entry["annotations"];
        Self {
            name: text("name"),
            description: text("description"),
            parameters,
            name_words: Words::of(text("name")),
            description_words: Words::of(&format!("{}. {}", text("title"), text("description"))),
            says_read_only: annotations["readOnlyHint"] == true,
            says_destructive: annotations["destructiveHint"] == true,
        }
    }

    /// Its name as it can be quoted: one line, not too long, nothing unseen.
    pub(super) fn quoted(&self) -> String {
        quoted(self.name)
    }
}

/// A text of the server's as it can be quoted: one line, not too long, nothing unseen.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 80;
    let seen = |character: &char| !character.is_control() && !super::words::is_hidden(*character);
    let mut short: String = text.chars().filter(seen).take(MOST).collect();
    if text.chars().filter(seen).nth(MOST).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

fn collect<'a>(schema: &'a Value, depth: usize, parameters: &mut Vec<Parameter<'a>>) {
    let Some(properties) = schema["properties"].as_object().filter(|_| depth < DEEPEST) else {
        return;
    };
    for (name, property) in properties {
        if parameters.len() >= MOST_PARAMETERS {
            return;
        }
        parameters.push(Parameter {
            name,
            description: property["description"].as_str().unwrap_or_default(),
            words: Words::of(name),
            is_free: is_free(property),
        });
        collect(property, depth + 1, parameters);
        collect(&property["items"], depth + 1, parameters);
    }
}

fn is_free(schema: &Value) -> bool {
    if schema["items"].is_object() {
        return is_free(&schema["items"]);
    }
    let kind = &schema["type"];
    let text = kind.is_null()
        || kind == "string"
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"string".into()));
    let bound = ["enum", "const", "pattern", "format"]
        .iter()
        .any(|rule| !schema[*rule].is_null());
    text && !bound
}
