//! What a server lists, as far as it is kept: so many pages, so many entries, and so many bytes of all of it together.

use serde_json::{Map, Value, json};

use super::session::{Failure, Session};
use crate::scan::excerpt::excerpt;

/// Pages of one list that are read: a list that has more does not end.
pub(super) const MOST_PAGES: usize = 50;
/// Entries of one list that are kept.
pub(super) const MOST_ENTRIES: usize = 1000;
/// Characters of one text that are kept.
const LONGEST_TEXT: usize = 4000;
/// Bytes, as JSON, of what is kept of one server's lists and capabilities: a hundred tools take about a third, and a place
/// that keeps a result, such as a row of a database on the edge, holds a megabyte.
const MOST_BYTES: usize = 512 << 10;

/// The lists of one server.
pub(super) struct Lists {
    entries: Map<String, Value>,
    /// The lists that always name a next page.
    pub(super) endless: Vec<&'static str>,
    /// The lists that could not be read, and why.
    pub(super) failed: Vec<(&'static str, String)>,
    bytes_left: usize,
    left_out: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            entries: Map::new(),
            endless: Vec::new(),
            failed: Vec::new(),
            bytes_left: MOST_BYTES,
            left_out: 0,
        }
    }
}

impl Lists {
    /// Follows a list page by page. A list that fails is told of and takes no other with it.
    pub(super) async fn read(
        &mut self,
        session: &mut Session<'_>,
        method: &'static str,
        member: &'static str,
    ) {
        let mut read = Vec::new();
        let mut cursor: Option<Value> = None;
        for page in 0.. {
            let params = cursor.as_ref().map(|cursor| json!({ "cursor": cursor }));
            let mut result = match session.call(method, params).await {
                Ok(result) => result,
                // Templates are offered by few, and the capability does not tell by whom.
                Err(Failure::Refused { code: -32601, .. }) if member == "resourceTemplates" => break,
                Err(failure) => {
                    self.failed.push((method, shortened(&failure.sentence())));
                    break;
                }
            };
            if let Value::Array(entries) = result[member].take() {
                self.keep(member, entries, &mut read);
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
        self.entries.insert(member.to_owned(), Value::Array(read));
    }

    pub(super) fn of(&self, member: &str) -> Value {
        self.entries.get(member).cloned().unwrap_or_else(|| json!([]))
    }

    pub(super) fn are_empty(&self) -> bool {
        let mut lists = self.entries.values();
        lists.all(|list| list.as_array().is_none_or(Vec::is_empty))
    }

    pub(super) fn names(&self, member: &str, name: &str) -> Vec<String> {
        let entries = self.entries.get(member).and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| entry[name].as_str().map(str::to_owned))
            .collect()
    }

    /// `value`, if there is room for it; else an empty object.
    pub(super) fn room_for(&mut self, member: &str, value: &Value) -> Value {
        if self.take(member, value) {
            value.clone()
        } else {
            self.left_out += 1;
            json!({})
        }
    }

    /// One sentence, if something was left out.
    pub(super) fn cut(&self) -> Option<String> {
        (self.left_out > 0).then(|| {
            format!(
                "At least {} parts of what it says are left out: {} KiB of it all are kept, and {MOST_ENTRIES} entries of one list.",
                self.left_out,
                MOST_BYTES >> 10
            )
        })
    }

    /// As many of these entries as one list has room for.
    fn keep(&mut self, member: &str, entries: Vec<Value>, read: &mut Vec<Value>) {
        for entry in entries {
            match (read.len() < MOST_ENTRIES)
                .then(|| self.kept(member, entry))
                .flatten()
            {
                Some(kept) => read.push(kept),
                None => self.left_out += 1,
            }
        }
    }

    /// What is kept of an entry: the members the specification names, each at a bearable length, as long as there is room; of one that has
    /// not even room for its name, nothing.
    fn kept(&mut self, list: &str, entry: Value) -> Option<Value> {
        let members: &[&str] = match list {
            "tools" => &["name", "title", "description", "inputSchema", "annotations"],
            "resources" => &["uri", "name", "title", "mimeType", "description"],
            "resourceTemplates" => &["uriTemplate", "name", "description"],
            _ => &["name", "title", "description", "arguments"],
        };
        let Value::Object(mut entry) = entry else {
            return Some(json!({}));
        };
        let mut kept = Map::new();
        for (place, member) in members.iter().enumerate() {
            let value = match entry.remove(*member) {
                Some(Value::String(text)) => Value::String(shortened(&text)),
                Some(Value::Null) | None => continue,
                Some(value) => value,
            };
            if self.take(member, &value) {
                kept.insert((*member).to_owned(), value);
            } else if place == 0 {
                return None;
            } else {
                self.left_out += 1;
            }
        }
        Some(Value::Object(kept))
    }

    /// Whether there is room for a member, which is then taken.
    fn take(&mut self, member: &str, value: &Value) -> bool {
        let bytes = serde_json::to_string(value).map_or(usize::MAX, |json| json.len());
        match self
            .bytes_left
            .checked_sub(bytes.saturating_add(member.len() + 4))
        {
            Some(left) => {
                self.bytes_left = left;
                true
            }
            None => false,
        }
    }
}

pub(super) fn shortened(text: &str) -> String {
    excerpt(text, LONGEST_TEXT)
}
