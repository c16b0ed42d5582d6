//! Texts as words, and patterns over them.
//!
//! Names are written in many ways (`run_shell`, `runShell`, `run-shell`), and what is to be hidden from people is written
//! with characters that people do not see; as words all of it reads alike.

/// The words of a text, in lower case.
pub(super) struct Words(Vec<String>);

/// Words that may stand between two of a pattern.
const GAP: usize = 4;
/// Words before a match in which a negation takes it back.
const NEGATED: usize = 3;

impl Words {
    /// Splits at whatever is neither letter nor digit, and where a small letter meets a capital one.
    pub(super) fn of(text: &str) -> Self {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut end = |word: &mut String| {
            if !word.is_empty() {
                words.push(core::mem::take(word));
            }
        };
        let (mut was_small, mut was_digit) = (false, false);
        for character in text.chars() {
            if is_hidden(character) {
                continue;
            }
            if !character.is_alphanumeric() {
                // An apostrophe belongs to its word: `don't`.
                if !matches!(character, '\'' | '\u{2019}') {
                    end(&mut word);
                }
                (was_small, was_digit) = (false, false);
                continue;
            }
            let digit = character.is_numeric();
            if (was_small && character.is_uppercase()) || (was_digit && !digit) {
                end(&mut word);
            }
            word.extend(latin(character).to_lowercase());
            (was_small, was_digit) = (character.is_lowercase(), digit);
        }
        end(&mut word);
        Self(words)
    }

    /// The words of the first match of a pattern, if it is there and not negated.
    ///
    /// A pattern is words in their order, with few others between; `a|b` is either. A word stands for its forms: `delete` for
    /// `deletes`, `deleted`, `deleting`, `deletion`; `=do` for itself alone.
    pub(super) fn find(&self, pattern: &str) -> Option<String> {
        let pattern: Vec<Vec<&str>> = pattern
            .split(' ')
            .map(|choices| choices.split('|').collect())
            .collect();
        (0..self.0.len())
            .filter_map(|start| Some((start, self.match_at(start, &pattern)?)))
            .find(|(start, _)| !self.is_negated(*start))
            .map(|(start, end)| self.0.get(start..end).unwrap_or_default().join(" "))
    }

    /// Each word, in its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `other` stands there in a row, from the word at `start`.
    pub(super) fn has_at(&self, start: usize, other: &Self) -> bool {
        self.0.get(start..start + other.0.len()) == Some(&other.0)
    }

    /// The words from `start` to `end`, as a text of their own.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let end = end.min(self.0.len());
        Self(self.0.get(start.min(end)..end).unwrap_or_default().to_vec())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the one way of writing.
    pub(super) fn joined(&self) -> String {
        self.0.join("_")
    }

    fn match_at(&self, start: usize, pattern: &[Vec<&str>]) -> Option<usize> {
        let mut at = start;
        for (index, choices) in pattern.iter().enumerate() {
            let room = if index == 0 { 0 } else { GAP };
            let window = self.0.get(at..self.0.len().min(at + room + 1))?;
            let found = window
                .iter()
                .position(|word| choices.iter().any(|choice| is_choice(word, choice)))?;
            at += found + 1;
        }
        Some(at)
    }

    fn is_negated(&self, start: usize) -> bool {
        // Apostrophes have gone.
        const NEGATIONS: [&str; 9] = [
            "not", "never", "no", "cannot", "without", "nor", "doesnt", "dont", "wont",
        ];
        let before = self
            .0
            .get(start.saturating_sub(NEGATED)..start)
            .unwrap_or_default();
        before.iter().any(|word| NEGATIONS.contains(&word.as_str()))
    }
}

fn is_choice(word: &str, choice: &str) -> bool {
    match choice.strip_prefix('=') {
        Some(exact) => word == exact,
        None => is_form(word, choice),
    }
}

/// Whether `word` is a form of `stem`, as far as English verbs and nouns are regular.
fn is_form(word: &str, stem: &str) -> bool {
    const ENDINGS: [&str; 9] = ["", "s", "es", "d", "ed", "ing", "er", "or", "ion"];
    let ends = |base: &str| {
        word.strip_prefix(base)
            .is_some_and(|rest| ENDINGS.contains(&rest))
    };
    // Most words differ at once.
    if word.as_bytes().first() != stem.as_bytes().first() {
        return false;
    }
    if ends(stem) {
        return true;
    }
    match stem.as_bytes() {
        // delete: deleting, deletion
        [.., b'e'] => ends(&stem[..stem.len() - 1]),
        // query: queries
        [.., b'y'] => word
            .strip_prefix(&stem[..stem.len() - 1])
            .is_some_and(|rest| matches!(rest, "ies" | "ied")),
        // run: running, drop: dropped
        [.., last] if last.is_ascii_lowercase() => {
            let rest = word
                .strip_prefix(stem)
                .and_then(|rest| rest.strip_prefix(char::from(*last)));
            rest.is_some_and(|rest| matches!(rest, "ed" | "ing" | "er"))
        }
        _ => false,
    }
}

/// The Latin letter that a Cyrillic or Greek one is taken for (Unicode Technical Standard 39, "confusables", the letters of names).
pub(super) fn latin(character: char) -> char {
    match character {
        'а' | 'α' => 'a',
        'в' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'є' => 'e',
        'һ' => 'h',
        'і' | 'ι' => 'i',
        'ј' | 'ϳ' => 'j',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'п' => 'n',
        'о' | 'ο' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        other => other,
    }
}

/// Whether a reader does not see this character: format and direction controls, fillers, and the tags with which whole
/// sentences can be written out of sight (Unicode Standard Annex 31, "Default_Ignorable_Code_Point", as far as it matters here).
pub(super) fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_read_alike_however_they_are_written() {
        for name in [
            "run_shell",
            "runShell",
            "run-shell",
            "Run Shell",
            "ru\u{200b}n_shell\u{202e}/",
            "run_sh\u{435}ll",
        ] {
            assert_eq!(Words::of(name).joined(), "run_shell", "{name}");
        }
        assert_eq!(Words::of("getURL2fetch").joined(), "get_url2_fetch");
    }

    #[test]
    fn a_pattern_finds_forms_in_order_with_few_words_between() {
        let found = |text: &str, pattern: &str| Words::of(text).find(pattern);
        assert_eq!(
            found("Executes any shell command.", "run|execute shell|code").as_deref(),
            Some("executes any shell")
        );
        assert_eq!(
            found("Running scripts", "run script").as_deref(),
            Some("running scripts")
        );
        assert_eq!(
            found("Deletion of queries", "delete query").as_deref(),
            Some("deletion of queries")
        );
        assert!(
            found("shell that runs", "run shell").is_none(),
            "the order counts"
        );
        assert!(
            found("run one two three four five shell", "run shell").is_none(),
            "too far apart"
        );
        assert!(
            found("a prune of forms", "run").is_none(),
            "a part of a word is none"
        );
    }

    #[test]
    fn what_is_denied_is_not_found() {
        for text in [
            "It does not execute code.",
            "Never runs any code",
            "without running code",
            "Doesn't run code",
        ] {
            assert!(Words::of(text).find("run|execute code").is_none(), "{text}");
        }
        let text = "Does not execute code unless told; then it executes code.";
        assert!(Words::of(text).find("execute code").is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,80}", pattern in "[a-z]{1,5}( [a-z|]{1,9}){0,2}") {
            let words = Words::of(&text);
            words.find(&pattern);
        }
    }
}
