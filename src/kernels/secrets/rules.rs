//! The rules of the search, as `rules.json` has them.

use serde_json::Value;

use super::checks::Check;
use super::classes::Class;

/// The rules that come with the package, as JSON.
pub const BUILT_IN: &str = include_str!("rules.json");

/// What names the format of a file of rules.
pub const SCHEMA: &str = "urn:tidegate:secret-rules:1";

/// A list of rules; of findings that overlap, that of the rule that stands first counts.
#[derive(Clone, Debug)]
pub struct Rules(pub(super) Vec<Rule>);

/// What one kind of credential looks like.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, in kebab-case, stable across versions.
    pub id: String,
    /// What it is, for people.
    pub title: String,
    /// How much a leak of it matters.
    pub grade: Grade,
    /// Whether it tells a credential by what stands around it, not by a format of its own.
    pub generic: bool,
    pub(super) anchors: Vec<String>,
    pub(super) fold: bool,
    pub(super) lead: Vec<Part>,
    pub(super) assigned: Option<Assigned>,
    pub(super) shape: Vec<Part>,
    pub(super) secret: Option<usize>,
    pub(super) entropy: f64,
    pub(super) check: Option<Check>,
}

/// How much a leak matters, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Opens nothing that matters.
    Low,
    /// Opens something under conditions, or for a while.
    Medium,
    /// Opens something.
    High,
    /// Opens what others depend on.
    Critical,
}

impl Grade {
    const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name as the rules spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure it is that a candidate is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Its checksum does not fit, or documentation shows this very value: made up, most likely.
    Low,
    /// It has the shape, and is random enough.
    Medium,
    /// Its inner structure fits too.
    High,
}

impl Confidence {
    /// The name as reports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A piece of the text around an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Run { class: Class, least: usize, most: usize },
}

/// How a value is assigned to the name that an anchor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    /// In quotes or not.
    Plain,
    /// In quotes only: without them, words of a sentence would do.
    Quoted,
}

impl Rules {
    /// The rules that come with the package.
    ///
    /// # Errors
    /// None in practice: a test reads them.
    pub fn built_in() -> Result<Self, String> {
        Self::from_json(BUILT_IN)
    }

    /// Reads rules.
    ///
    /// # Errors
    /// One sentence that names the rule and what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let file: Value =
            serde_json::from_str(text).map_err(|error| format!("The rules are not JSON: {error}."))?;
        if file["schema"] != SCHEMA {
            return Err(format!("Expected rules with the schema `{SCHEMA}`."));
        }
        let rules = file["rules"].as_array().ok_or("Expected `rules` to be a list.")?;
        let read = |rule: &Value| {
            let id = rule["id"].as_str().unwrap_or("?");
            read_rule(rule).map_err(|what| format!("Rule `{id}`: {what}."))
        };
        rules.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

const MEMBERS: [&str; 12] = [
    "id", "title", "severity", "anchors", "fold", "lead", "assigned", "shape", "secret", "entropy", "check",
    "generic",
];

fn read_rule(rule: &Value) -> Result<Rule, String> {
    let members = rule.as_object().ok_or("expected an object")?;
    if let Some(stray) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("there is no member `{stray}`"));
    }
    let text = |name: &str| {
        let value = rule[name].as_str().filter(|text| !text.is_empty());
        value.ok_or_else(|| format!("expected `{name}` to be text"))
    };
    let flag = |name: &str| rule[name].as_bool().unwrap_or(false);
    let severity = text("severity")?;
    let grade = Grade::ALL.into_iter().find(|grade| grade.name() == severity);
    let anchors: Option<Vec<String>> = rule["anchors"].as_array().and_then(|list| {
        let anchor = |value: &Value| value.as_str().filter(|text| text.len() >= 2).map(str::to_owned);
        list.iter().map(anchor).collect()
    });
    let shape = parts(&rule["shape"])?;
    let secret = rule["secret"].as_u64().map(|index| index as usize);
    Ok(Rule {
        id: text("id")?.to_owned(),
        title: text("title")?.to_owned(),
        grade: grade.ok_or("expected `severity` to be low, medium, high or critical")?,
        generic: flag("generic"),
        anchors: anchors
            .filter(|anchors| !anchors.is_empty())
            .ok_or("expected `anchors` of 2 characters or more each")?,
        fold: flag("fold"),
        lead: match &rule["lead"] {
            Value::Null => Vec::new(),
            lead => parts(lead)?,
        },
        assigned: match rule["assigned"].as_str() {
            None => None,
            Some("plain") => Some(Assigned::Plain),
            Some("quoted") => Some(Assigned::Quoted),
            Some(other) => return Err(format!("there is no assignment `{other}`")),
        },
        secret: match secret {
            Some(index) if index >= shape.len() => return Err("`secret` names no part of `shape`".to_owned()),
            other => other,
        },
        shape,
        entropy: rule["entropy"]
            .as_f64()
            .ok_or("expected `entropy` to be a number")?,
        check: match rule["check"].as_str() {
            None => None,
            Some(name) => Some(Check::named(name).ok_or_else(|| format!("there is no check `{name}`"))?),
        },
    })
}

fn parts(list: &Value) -> Result<Vec<Part>, String> {
    let list = list
        .as_array()
        .filter(|list| !list.is_empty())
        .ok_or("expected a list of parts")?;
    list.iter().map(part).collect()
}

fn part(part: &Value) -> Result<Part, String> {
    if let Some(text) = part.as_str() {
        return Ok(Part::Text(text.to_owned()));
    }
    let name = part[0].as_str().unwrap_or_default();
    let class = Class::named(name).ok_or_else(|| format!("there is no class `{name}`"))?;
    let bound = |index: usize| part[index].as_u64().map(|bound| bound as usize);
    let least = bound(1).ok_or("expected a run to have a length")?;
    let most = bound(2).unwrap_or(least);
    if most == 0 || least > most {
        return Err(format!("a run of {least} to {most} is never there"));
    }
    Ok(Part::Run { class, least, most })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_rules_of_the_package_can_be_read_and_each_has_a_name_of_its_own() {
        let rules = Rules::built_in().unwrap();
        assert!(rules.0.len() > 80, "{} rules", rules.0.len());
        let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        let known = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), known);
        for rule in rules.iter() {
            let kebab = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(rule.id.bytes().all(kebab), "{}", rule.id);
            assert!(
                !rule.fold || rule.assigned.is_some(),
                "{}: only names may be folded",
                rule.id
            );
        }
    }

    #[test]
    fn a_rule_that_cannot_work_is_told_by_its_name() {
        let file = |rule: &str| format!(r#"{{ "schema": "{SCHEMA}", "rules": [{rule}] }}"#);
        let good = r#"{ "id": "a", "title": "A", "severity": "low", "anchors": ["abc"], "shape": [["hex", 4]], "entropy": 1 }"#;
        assert!(Rules::from_json(&file(good)).is_ok());
        for (from, to, says) in [
            (
                r#""low""#,
                r#""lowest""#,
                "Rule `a`: expected `severity` to be low",
            ),
            (
                r#"["abc"]"#,
                r#"["a"]"#,
                "expected `anchors` of 2 characters or more",
            ),
            (r#""hex""#, r#""hexe""#, "there is no class `hexe`"),
            ("4]", "4, 3]", "a run of 4 to 3 is never there"),
            (
                r#""entropy": 1"#,
                r#""entropy": "1""#,
                "expected `entropy` to be a number",
            ),
            (
                r#""entropy": 1"#,
                r#""entropy": 1, "check": "luck""#,
                "there is no check `luck`",
            ),
            (
                r#""entropy": 1"#,
                r#""entropy": 1, "secret": 1"#,
                "`secret` names no part",
            ),
            (
                r#""entropy": 1"#,
                r#""entropy": 1, "regex": "x""#,
                "there is no member `regex`",
            ),
        ] {
            let error = Rules::from_json(&file(&good.replace(from, to))).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(Rules::from_json("{}").unwrap_err().contains(SCHEMA));
        assert!(Rules::from_json("[").unwrap_err().contains("not JSON"));
    }
}
