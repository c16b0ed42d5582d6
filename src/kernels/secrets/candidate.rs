//! The closer look at a place where an anchor ends.

use super::checks::{continues, entropy, is_documented, is_placeholder};
use super::rules::{Assigned, Confidence, Part, Rule};

/// White space that an assignment may have on each side.
const MOST_SPACE: usize = 8;

/// The secret of `rule` whose anchor is `text[start..end]`, and how sure it is.
pub(super) fn verify(
    rule: &Rule,
    text: &[u8],
    start: usize,
    end: usize,
) -> Option<(usize, usize, Confidence)> {
    let begin = lead(rule, text, start)?;
    // Asked before anything else is read: what stands in the middle of a word costs nothing.
    let is_word = rule.assigned.is_none() && continues(text.get(begin));
    if is_word && begin > 0 && continues(text.get(begin - 1)) {
        return None;
    }
    let (value, quote) = match rule.assigned {
        Some(assigned) => assignment(text, end, assigned)?,
        None => (end, None),
    };
    let (behind, part) = shape(rule, text, value)?;
    if let Some(quote) = quote
        && !closes(text, behind, quote)
    {
        return None;
    }
    let (from, to) = match (part, rule.assigned) {
        (Some(part), _) => part,
        (None, Some(_)) => (value, behind),
        (None, None) => (begin, behind),
    };
    let secret = text.get(from..to)?;
    let random = match part {
        Some(_) => secret,
        None => text.get(value..behind)?,
    };
    if entropy(random) < rule.entropy || (rule.generic && is_placeholder(secret)) {
        return None;
    }
    let confidence = match rule.check {
        Some(check) => check.judge(secret)?,
        None if is_documented(secret) => Confidence::Low,
        None => Confidence::Medium,
    };
    Some((from, to, confidence))
}

/// Where what stands before the anchor begins.
fn lead(rule: &Rule, text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for part in rule.lead.iter().rev() {
        let before = text.get(..at)?;
        at = match part {
            Part::Text(fixed) => before.strip_suffix(fixed.as_bytes())?.len(),
            Part::Run { class, least, most } => {
                let run = before
                    .iter()
                    .rev()
                    .take(*most)
                    .take_while(|byte| class.has(**byte));
                let length = run.count();
                (length >= *least).then(|| at - length)?
            }
        };
    }
    Some(at)
}

/// Where the shape ends, and the part of it that is the secret if the rule names one.
///
/// Runs take what they can and give nothing back. A text that goes on where the last one has to end is something else.
fn shape(rule: &Rule, text: &[u8], start: usize) -> Option<(usize, Option<(usize, usize)>)> {
    let mut at = start;
    let mut secret = None;
    for (index, part) in rule.shape.iter().enumerate() {
        let rest = text.get(at..)?;
        let length = match part {
            Part::Text(fixed) => rest.starts_with(fixed.as_bytes()).then_some(fixed.len())?,
            Part::Run { class, least, most } => {
                let run = rest.iter().take(*most).take_while(|byte| class.has(**byte));
                let length = run.count();
                let last = index + 1 == rule.shape.len();
                let goes_on = rest
                    .get(length)
                    .is_some_and(|byte| class.has(*byte) || continues(Some(byte)));
                (length >= *least && !(last && goes_on)).then_some(length)?
            }
        };
        if rule.secret == Some(index) {
            secret = Some((at, at + length));
        }
        at += length;
    }
    Some((at, secret))
}

/// Where the value begins that is assigned to the name that ends at `end`, and the quote it stands in: `name = "…`, `name: '…`,
/// `"name": "…`, `name => "…`, and the same inside a string, with its quotes escaped.
fn assignment(text: &[u8], end: usize, assigned: Assigned) -> Option<(usize, Option<u8>)> {
    let mut at = skip(text, end, 1, |byte| byte == b'\\');
    at = skip(text, at, 1, |byte| matches!(byte, b'"' | b'\''));
    at = skip(text, at, MOST_SPACE, |byte| matches!(byte, b' ' | b'\t'));
    at = match text.get(at..)? {
        [b':', b'=', ..] | [b'=', b'>', ..] => at + 2,
        [b'=', b'=', ..] => return None,
        [b'=' | b':', ..] => at + 1,
        _ => return None,
    };
    at = skip(text, at, MOST_SPACE, |byte| matches!(byte, b' ' | b'\t'));
    let bare = skip(text, at, 1, |byte| byte == b'\\');
    match text.get(bare) {
        Some(quote @ (b'"' | b'\'' | b'`')) => Some((bare + 1, Some(*quote))),
        _ if assigned == Assigned::Plain => Some((at, None)),
        _ => None,
    }
}

fn skip(text: &[u8], at: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let run = text.iter().skip(at).take(most).take_while(|byte| is(**byte));
    at + run.count()
}

/// Whether the quote that was opened closes at `at`.
fn closes(text: &[u8], at: usize, quote: u8) -> bool {
    let at = skip(text, at, 1, |byte| byte == b'\\');
    text.get(at) == Some(&quote)
}
