//! The search for all rules in one pass.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::{Builder, DFA};
use aho_corasick::{Anchored, MatchKind, StartKind};

use super::candidate::verify;
use super::rules::{Confidence, Rule, Rules};

/// A search for the credentials that a list of rules describes. Making one builds its automaton, a few hundred kilobytes;
/// keep it.
#[derive(Clone, Debug)]
pub struct SecretSearch {
    rules: Rules,
    dfa: DFA,
    start: StateID,
    /// The rule of each pattern of the automaton, and the pattern's text.
    patterns: Vec<(usize, String)>,
}

/// A credential that was found: the text from `start` to `end`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its rule, by its place in the list.
    pub rule: usize,
    /// Where the credential itself begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// How sure it is.
    pub confidence: Confidence,
}

/// A search that has come so far; what makes it possible to search in slices.
#[derive(Clone, Debug)]
pub struct Pass {
    state: StateID,
    at: usize,
    found: Vec<Match>,
}

impl Pass {
    /// How far it has come.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl SecretSearch {
    /// A search by the rules that come with the package.
    ///
    /// # Errors
    /// None in practice: a test builds it.
    pub fn built_in() -> Result<Self, String> {
        Self::new(Rules::built_in()?)
    }

    /// A search by these rules.
    ///
    /// # Errors
    /// The rules are too many for one automaton.
    pub fn new(rules: Rules) -> Result<Self, String> {
        let of = |(index, rule): (usize, &Rule)| {
            let own = |anchor: &String| (index, anchor.clone());
            rule.anchors.iter().map(own).collect::<Vec<_>>()
        };
        let patterns: Vec<(usize, String)> = rules.iter().enumerate().flat_map(of).collect();
        // A full table, whatever its size: it costs one lookup a byte where a contiguous NFA costs four times as much.
        let dfa = Builder::new()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(patterns.iter().map(|(_, anchor)| anchor))
            .map_err(|error| format!("The rules fit no automaton: {error}."))?;
        let start = dfa
            .start_state(Anchored::No)
            .map_err(|error| format!("The automaton has no start: {error}."))?;
        Ok(Self {
            rules,
            dfa,
            start,
            patterns,
        })
    }

    /// The rules it goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rule of a match; none only for another search's.
    pub fn rule(&self, found: &Match) -> Option<&Rule> {
        self.rules.0.get(found.rule)
    }

    /// Every credential in `text`, in the order in which they stand there. Of those that overlap, the one whose rule stands
    /// first in the list, then the first.
    pub fn find(&self, text: &[u8]) -> Vec<Match> {
        let mut pass = self.begin();
        self.advance(&mut pass, text, usize::MAX);
        self.end(pass)
    }

    /// A pass at the beginning of a text.
    pub fn begin(&self) -> Pass {
        Pass {
            state: self.start,
            at: 0,
            found: Vec::new(),
        }
    }

    /// Goes on with a pass for at most `bytes` of its text, which has to be the same each time, and says whether there is more.
    pub fn advance(&self, pass: &mut Pass, text: &[u8], bytes: usize) -> bool {
        let until = pass.at.saturating_add(bytes).min(text.len());
        let mut state = pass.state;
        for (offset, byte) in text.get(pass.at..until).unwrap_or_default().iter().enumerate() {
            state = self.dfa.next_state(Anchored::No, state, *byte);
            if self.dfa.is_special(state) {
                self.look(state, text, pass.at + offset + 1, &mut pass.found);
            }
        }
        pass.state = state;
        pass.at = until.max(pass.at);
        pass.at < text.len()
    }

    /// What a pass has found.
    pub fn end(&self, pass: Pass) -> Vec<Match> {
        settle(pass.found)
    }

    /// A credential as a report may show it: what is public of it, and how long it is.
    pub fn masked(&self, text: &[u8], found: &Match) -> String {
        let secret = text.get(found.start..found.end).unwrap_or_default();
        let shown = secret.get(..self.public(text, found)).unwrap_or_default();
        format!(
            "{}… ({} characters)",
            String::from_utf8_lossy(shown),
            secret.len()
        )
    }

    /// How many bytes at the beginning of a credential every one of its kind has: what a report may show.
    pub fn public(&self, text: &[u8], found: &Match) -> usize {
        let secret = text.get(found.start..found.end).unwrap_or_default();
        let anchors = self.rule(found).map_or(&[][..], |rule| &rule.anchors);
        let public = anchors
            .iter()
            .filter(|anchor| secret.starts_with(anchor.as_bytes()));
        public.map(String::len).max().unwrap_or_default()
    }

    #[cold]
    fn look(&self, state: StateID, text: &[u8], end: usize, found: &mut Vec<Match>) {
        if !self.dfa.is_match(state) {
            return;
        }
        for index in 0..self.dfa.match_len(state) {
            let (rule, anchor) = &self.patterns[self.dfa.match_pattern(state, index).as_usize()];
            let start = end - anchor.len();
            let judged = &self.rules.0[*rule];
            if !judged.fold && text.get(start..end) != Some(anchor.as_bytes()) {
                continue;
            }
            if let Some((start, end, confidence)) = verify(judged, text, start, end) {
                found.push(Match {
                    rule: *rule,
                    start,
                    end,
                    confidence,
                });
            }
        }
    }
}

/// Of matches that overlap, the first by rule, then by place.
fn settle(mut found: Vec<Match>) -> Vec<Match> {
    found.sort_by_key(|one| (one.rule, one.start, one.end));
    let mut kept: std::collections::BTreeMap<usize, Match> = std::collections::BTreeMap::new();
    for one in found {
        // Kept ones do not overlap, so only the last that begins before this one's end can reach into it.
        let before = kept.range(..one.end).next_back();
        if before.is_none_or(|(_, other)| other.end <= one.start) {
            kept.insert(one.start, one);
        }
    }
    kept.into_values().collect()
}
