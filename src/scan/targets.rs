//! A list of targets as people write it: from arguments, from a text field, from a file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::target::{Entry, Target};

/// The most targets one scan takes.
pub const MOST_TARGETS: usize = 10_000;

/// What a list names, each target once and in the order given, and what in it names nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// What is scanned.
    pub targets: Vec<Target>,
    /// What is not, with one sentence for each.
    pub invalid: Vec<Invalid>,
}

/// One entry that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    /// The entry as it was written.
    pub input: String,
    /// What is wrong with it, in one sentence that names it.
    pub message: String,
    /// The line it stands on, from 1, where there is more than one.
    pub line: Option<u32>,
}

impl Targets {
    /// Reads a list: each input is an argument or a whole text. Entries are separated by white space, line ends or
    /// commas; `#` begins a comment at the start of a line or after white space. Duplicates are folded.
    pub fn parse<I: AsRef<str>>(inputs: impl IntoIterator<Item = I>) -> Self {
        let mut list = Self::default();
        let mut places = HashMap::new();
        for input in inputs {
            let input = input.as_ref().trim_start_matches('\u{feff}');
            let many = input.trim_end().contains('\n');
            for (number, line) in input.lines().enumerate() {
                let line_number = many.then(|| u32::try_from(number + 1).unwrap_or(u32::MAX));
                for entry in entries(line) {
                    list.read(entry, line_number, &mut places);
                }
            }
        }
        list
    }

    fn read(&mut self, entry: &str, line: Option<u32>, places: &mut HashMap<String, usize>) {
        let refuse = |message: String| Invalid {
            input: entry.to_owned(),
            message,
            line,
        };
        match Entry::parse(entry) {
            Err(message) => self.invalid.push(refuse(message)),
            Ok(named) => {
                for target in named.targets() {
                    if let Some(known) = places.get(&target.url()) {
                        // Named by itself as well as in a range: then it may be looked at as a single port.
                        self.targets[*known].from_range &= target.from_range;
                    } else if self.targets.len() < MOST_TARGETS {
                        places.insert(target.url(), self.targets.len());
                        self.targets.push(target);
                    } else {
                        let message =
                            format!("Target `{entry}` is beyond the {MOST_TARGETS} that one scan takes.");
                        return self.invalid.push(refuse(message));
                    }
                }
            }
        }
    }
}

fn entries(line: &str) -> impl Iterator<Item = &str> {
    let comment = line
        .char_indices()
        .find(|&(at, c)| c == '#' && line[..at].chars().next_back().is_none_or(char::is_whitespace))
        .map_or(line.len(), |(at, _)| at);
    line[..comment].split_whitespace().flat_map(split_commas)
}

/// A comma separates entries, unless it may belong to the path of a URL: `http://a/x,y` is one entry.
fn split_commas(word: &str) -> impl Iterator<Item = &str> {
    let mut pieces = Vec::new();
    let mut rest = word;
    let mut from = 0;
    while let Some(at) = rest[from..].find(',').map(|at| at + from) {
        let (piece, after) = (&rest[..at], &rest[at + 1..]);
        let in_path = piece.contains("://") && !after.is_empty() && !after.starts_with("http");
        if in_path {
            from = at + 1;
        } else {
            pieces.push(piece);
            (rest, from) = (after, 0);
        }
    }
    pieces.push(rest);
    pieces.into_iter().filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn urls(list: &Targets) -> Vec<String> {
        list.targets.iter().map(Target::url).collect()
    }

    #[test]
    fn a_file_with_comments_is_read_and_what_is_wrong_is_named_with_its_line() {
        let list = Targets::parse([
            "\u{feff}# mine\r\nlocalhost:1, localhost:2 # two\n\nftp://x\nhttp://a/#frag\nlocalhost:1\n",
        ]);
        assert_eq!(
            urls(&list),
            ["http://localhost:1/", "http://localhost:2/", "http://a/"]
        );
        assert_eq!(list.invalid.len(), 1);
        assert_eq!(
            (list.invalid[0].input.as_str(), list.invalid[0].line),
            ("ftp://x", Some(4))
        );
    }

    #[test]
    fn commas_separate_targets_but_not_what_is_inside_a_path() {
        assert_eq!(urls(&Targets::parse(["a:1,b:2"])), ["http://a:1/", "http://b:2/"]);
        assert_eq!(urls(&Targets::parse(["http://a/x,y"])), ["http://a/x,y"]);
        assert_eq!(
            urls(&Targets::parse(["http://a/x,http://b/,"])),
            ["http://a/x", "http://b/"]
        );
    }

    #[test]
    fn a_target_named_twice_is_scanned_once() {
        let list = Targets::parse(["host:5-7", "http://host:6/", "HOST:6"]);
        assert_eq!(
            urls(&list),
            ["http://host:5/", "http://host:6/", "http://host:7/"]
        );
        assert_eq!(
            list.targets.iter().map(|t| t.from_range).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn more_than_a_scan_takes_is_refused_with_one_sentence_for_each_entry() {
        let list = Targets::parse((1..=11).map(|n| format!("h{n}:1-1000")));
        assert_eq!(list.targets.len(), MOST_TARGETS);
        assert_eq!(list.invalid.len(), 1);
        assert!(
            list.invalid[0].message.contains("h11:1-1000"),
            "{}",
            list.invalid[0].message
        );
    }
}
