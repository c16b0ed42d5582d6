//! The secret search against a reference that knows the same rules and nothing of automata: it tries each rule at each
//! place of the text, reads the rules from the JSON by itself, and describes its sets of characters as lists.
#![cfg(feature = "kernels")]
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use tidegate::kernels::secrets::rules::BUILT_IN;
use tidegate::kernels::secrets::{Confidence, SecretSearch};
use tidegate::machine::random::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Found = (usize, usize, usize, &'static str);

fn rules() -> Vec<Value> {
    let file: Value = serde_json::from_str(BUILT_IN).unwrap();
    file["rules"].as_array().unwrap().clone()
}

fn searched(search: &SecretSearch, text: &str) -> Vec<Found> {
    let found = search.find(text.as_bytes()).into_iter();
    found
        .map(|one| (one.rule, one.start, one.end, one.confidence.name()))
        .collect()
}

mod reference {
    use super::*;

    pub(super) fn find(rules: &[Value], text: &str) -> Vec<Found> {
        let text = text.as_bytes();
        let mut kept: Vec<Found> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let mut own: Vec<Found> = Vec::new();
            for anchor in rule["anchors"].as_array().unwrap() {
                let anchor = anchor.as_str().unwrap();
                for start in 0..text.len() {
                    if !text[start].eq_ignore_ascii_case(&anchor.as_bytes()[0]) {
                        continue;
                    }
                    let Some(here) = text.get(start..start + anchor.len()) else {
                        break;
                    };
                    let same = if rule["fold"] == true {
                        here.to_ascii_lowercase() == anchor.to_ascii_lowercase().as_bytes()
                    } else {
                        here == anchor.as_bytes()
                    };
                    if same && let Some((from, to, sure)) = look(rule, text, start, start + anchor.len()) {
                        own.push((index, from, to, sure));
                    }
                }
            }
            own.sort();
            for one in own {
                if kept.iter().all(|other| one.2 <= other.1 || other.2 <= one.1) {
                    kept.push(one);
                }
            }
        }
        kept.sort_by_key(|one| one.1);
        kept
    }

    fn look(rule: &Value, text: &[u8], start: usize, end: usize) -> Option<(usize, usize, &'static str)> {
        let mut begin = start;
        for part in rule["lead"].as_array().into_iter().flatten().rev() {
            let (least, most) = match part.as_str() {
                Some(fixed) => (fixed.len(), fixed.len()),
                None => lengths(part),
            };
            let fits = |length: &usize| *length <= begin && is(part, &text[begin - length..begin]);
            let longest = (0..=most).filter(fits).max()?;
            if longest < least {
                return None;
            }
            begin -= longest;
        }
        let word = |at: usize| text[at] == b'_' || text[at].is_ascii_alphanumeric();
        if rule["assigned"].is_null() && begin > 0 && word(begin) && word(begin - 1) {
            return None;
        }
        let mut at = end;
        let mut quote = None;
        if let Some(kind) = rule["assigned"].as_str() {
            (at, quote) = assigned(text, end)?;
            if kind == "quoted" && quote.is_none() {
                return None;
            }
        }
        let value = at;
        let shape = rule["shape"].as_array().unwrap();
        let mut secret = (if rule["assigned"].is_null() { begin } else { value }, 0);
        let mut random = None;
        for (index, part) in shape.iter().enumerate() {
            let from = at;
            match part.as_str() {
                Some(fixed) => {
                    at += fixed.len();
                    if text.get(from..at) != Some(fixed.as_bytes()) {
                        return None;
                    }
                }
                None => {
                    let (least, most) = lengths(part);
                    while at < text.len() && at - from < most && is(part, &text[at..=at]) {
                        at += 1;
                    }
                    let last = index == shape.len() - 1;
                    let on = at < text.len() && (word(at) || is(part, &text[at..=at]));
                    if at - from < least || (last && on) {
                        return None;
                    }
                }
            }
            if rule["secret"] == index {
                secret = (from, at);
                random = Some((from, at));
            }
        }
        if secret.1 == 0 {
            secret.1 = at;
        }
        if let Some(quote) = quote {
            let at = if text.get(at) == Some(&b'\\') { at + 1 } else { at };
            if text.get(at) != Some(&quote) {
                return None;
            }
        }
        let random = random.unwrap_or((value, at));
        if shannon(&text[random.0..random.1]) < rule["entropy"].as_f64().unwrap() {
            return None;
        }
        let found = core::str::from_utf8(&text[secret.0..secret.1]).unwrap();
        if rule["generic"] == true && placeholder(found) {
            return None;
        }
        let sure = match rule["check"].as_str() {
            None if ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"].contains(&found) => {
                "low"
            }
            None => "medium",
            Some("crc32") => checksum(found),
            Some("jwt") => {
                let header = String::from_utf8_lossy(&base64(found.split('.').next().unwrap())).into_owned();
                if !header.starts_with('{') || !header.to_lowercase().contains("\"alg\"") {
                    return None;
                }
                "high"
            }
            Some("basic") => {
                let pair = base64(found);
                let at = pair.iter().position(|byte| *byte == b':')?;
                let password = String::from_utf8_lossy(&pair[at + 1..]).into_owned();
                if password.len() < 3 || placeholder(&password) || pair.iter().any(u8::is_ascii_control) {
                    return None;
                }
                "high"
            }
            Some("mixed") => {
                let letters = found.chars().filter(char::is_ascii_alphabetic).count();
                if letters == 0 || letters == found.len() {
                    return None;
                }
                "medium"
            }
            Some(other) => panic!("{other}"),
        };
        Some((secret.0, secret.1, sure))
    }

    fn lengths(part: &Value) -> (usize, usize) {
        let least = part[1].as_u64().unwrap() as usize;
        (least, part[2].as_u64().map_or(least, |most| most as usize))
    }

    fn is(part: &Value, text: &[u8]) -> bool {
        if let Some(fixed) = part.as_str() {
            return text == fixed.as_bytes();
        }
        let members = alphabet(part[0].as_str().unwrap());
        text.iter().all(|byte| members.contains(char::from(*byte)))
    }

    pub(super) fn alphabet(class: &str) -> String {
        let upper: String = ('A'..='Z').collect();
        let (lower, digits) = (upper.to_lowercase(), "0123456789");
        let all = format!("{upper}{lower}{digits}");
        match class {
            "digit" => digits.to_owned(),
            "hex" => "0123456789abcdefABCDEF".to_owned(),
            "hex-lower" => "0123456789abcdef".to_owned(),
            "hex-dash" => "0123456789abcdefABCDEF-".to_owned(),
            "base32" => format!("{upper}234567"),
            "base32-lower" => format!("{lower}234567"),
            "bech32" => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".to_owned(),
            "base62" => all,
            "base62-dash" => all + "-",
            "base62-dot" => all + ".",
            "base64" => all + "+/",
            "base64-equals" => all + "+/=",
            "base64url" => all + "-_",
            "base64url-dot" => all + "-_.",
            "base64url-equals" => all + "-_=",
            "entra" => all + "-_.~",
            "bearer" => all + "-._~+/=",
            "userinfo" => all + "-._~%!$&*+,;=",
            "value" => all + "!#$%&()*+,-./:;=?@[]^_{|}~",
            "armoured" => all + "+/=\r\n \t\\:,-",
            other => panic!("{other}"),
        }
    }

    fn assigned(text: &[u8], end: usize) -> Option<(usize, Option<u8>)> {
        let text: &[u8] = &[text, b"\0\0"].concat();
        let mut at = end;
        at += usize::from(text[at] == b'\\');
        at += usize::from(b"\"'".contains(&text[at]));
        let blank = |from: usize| {
            (0..8)
                .take_while(|more| b" \t".contains(&text[from + more]))
                .count()
        };
        at += blank(at);
        if text[at..].starts_with(b"==") {
            return None;
        }
        at += match (text[at], text[at + 1]) {
            (b':', b'=') | (b'=', b'>') => 2,
            (b':' | b'=', _) => 1,
            _ => return None,
        };
        at += blank(at);
        let bare = at + usize::from(text[at] == b'\\');
        if b"\"'`".contains(&text[bare]) {
            return Some((bare + 1, Some(text[bare])));
        }
        Some((at, None))
    }

    fn shannon(text: &[u8]) -> f64 {
        let mut sum = 0.0;
        for byte in 0..=255_u8 {
            let count = text.iter().filter(|other| **other == byte).count() as f64;
            if count > 0.0 {
                let share = count / text.len() as f64;
                sum += -share * share.log2();
            }
        }
        sum
    }

    fn placeholder(text: &str) -> bool {
        let text = text.to_lowercase();
        let whole = "pass password passwd secret token user admin root test null undefined true false string";
        let parts = "example changeme change_me change-me placeholder your dummy sample redacted xxxx **** .... insert";
        text.starts_with(['$', '%', '{', '#', '[', '('])
            || whole.split(' ').any(|word| word == text)
            || parts.split(' ').any(|word| text.contains(word))
    }

    fn checksum(token: &str) -> &'static str {
        let body = token.split_once('_').unwrap().1;
        let (body, told) = body.split_at(body.len() - 6);
        let mut crc = u32::MAX;
        for byte in body.bytes() {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ 0xEDB8_8320
                } else {
                    crc >> 1
                };
            }
        }
        let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
        let (mut rest, mut sum) = (!crc as usize, String::new());
        for _ in 0..6 {
            sum.insert(0, digits[rest % 62]);
            rest /= 62;
        }
        if sum == told { "high" } else { "low" }
    }

    fn base64(text: &str) -> Vec<u8> {
        let digits: Vec<char> = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['+', '/'])
            .collect();
        let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
        for digit in text.replace('-', "+").replace('_', "/").chars() {
            let Some(value) = digits.iter().position(|other| *other == digit) else {
                break;
            };
            bits = (bits << 6 | value as u32) & 0xFFFF;
            held += 6;
            if held >= 8 {
                held -= 8;
                out.push((bits >> held) as u8);
            }
        }
        out
    }
}

/// Draws what a rule describes.
struct Draw(Random);

impl Draw {
    fn up_to(&mut self, most: usize) -> usize {
        self.0.up_to(most as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.up_to(of.len() - 1)]
    }

    fn part(&mut self, part: &Value) -> String {
        if let Some(fixed) = part.as_str() {
            return fixed.to_owned();
        }
        let members: Vec<char> = reference::alphabet(part[0].as_str().unwrap()).chars().collect();
        let least = part[1].as_u64().unwrap() as usize;
        let most = part[2]
            .as_u64()
            .map_or(least, |most| (most as usize).min(least + 30));
        let length = least + self.up_to(most - least);
        (0..length)
            .map(|_| members[self.up_to(members.len() - 1)])
            .collect()
    }

    fn parts(&mut self, list: &Value) -> String {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|part| self.part(part))
            .collect()
    }

    /// A text that keeps to the rule's shape.
    fn sample(&mut self, rule: &Value) -> String {
        let anchors = rule["anchors"].as_array().unwrap();
        let mut anchor = anchors[self.up_to(anchors.len() - 1)]
            .as_str()
            .unwrap()
            .to_owned();
        if rule["fold"] == true && self.up_to(1) == 0 {
            anchor = anchor.to_uppercase();
        }
        let (lead, shape) = (self.parts(&rule["lead"]), self.parts(&rule["shape"]));
        let shape = match rule["check"].as_str() {
            Some("basic") if self.up_to(3) > 0 => "aGFyYm91cjp0MWRlZ2F0ZQ==".to_owned(),
            Some("jwt") if self.up_to(3) > 0 => format!(
                "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.{}",
                &shape[shape.len() - 20..]
            ),
            _ => shape,
        };
        match rule["assigned"].as_str() {
            None => format!("{lead}{anchor}{shape}"),
            Some(_) => {
                let to = self.one(&["=", ": ", " := ", "\": ", " => ", " == ", "\\\":"]);
                let quote = self.one(&["\"", "'", "`", "\\\"", ""]);
                let end = self.one(&[quote, quote, quote, "'", ""]);
                format!("{anchor}{to}{quote}{shape}{end}")
            }
        }
    }

    /// The same with a small accident.
    fn hurt(&mut self, text: String) -> String {
        let at = self.up_to(text.len() - 1);
        let mut bytes = text.into_bytes();
        match self.up_to(8) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, b'a'),
            2 => bytes[at] = b'?',
            3 => bytes[at] = bytes[at].to_ascii_uppercase(),
            4 => bytes.truncate(at.max(1)),
            5 => bytes[at..].fill(b'x'),
            _ => {}
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// A text in which each rule's credentials stand, whole and hurt, between what stands between them in pages and scripts.
fn corpus(seed: u64, rules: &[Value]) -> String {
    let mut draw = Draw(Random::new(seed));
    let between = [
        " ",
        "\n",
        "\"",
        "';\nconst next = '",
        "=",
        "_",
        "-",
        ".",
        "a",
        "://",
        "</script><p title=\"",
        "é",
        ",\"password\":\"",
        "https://user",
        "Bearer ",
        "api_key: '",
        "eyJ",
        "sk-",
        "AKIA",
        ": ",
        "",
    ];
    let mut text = String::new();
    for _ in 0..3 {
        for rule in rules {
            let sample = draw.sample(rule);
            text += &draw.hurt(sample);
            text += draw.one(&between);
        }
    }
    text
}

#[test]
fn what_is_found_is_what_the_plain_reference_finds() {
    let (rules, search) = (rules(), SecretSearch::built_in().unwrap());
    let mut seen = vec![0; rules.len()];
    for seed in 0..10 {
        let text = corpus(seed, &rules);
        let found = searched(&search, &text);
        let expected = reference::find(&rules, &text);
        for one in &expected {
            seen[one.0] += 1;
        }
        assert_eq!(found, expected, "seed {seed}");
    }
    let unseen: Vec<_> = (0..rules.len())
        .filter(|rule| seen[*rule] == 0)
        .map(|rule| &rules[rule]["id"])
        .collect();
    assert!(unseen.is_empty(), "never found in the corpus: {unseen:?}");
}

#[test]
fn sources_and_prose_are_judged_as_by_the_reference() {
    let (rules, search) = (rules(), SecretSearch::built_in().unwrap());
    let texts = [
        include_str!("../README.md"),
        include_str!("../docs/scan.md"),
        include_str!("../src/kernels/secrets/rules.json"),
        include_str!("../range/catalogue.mjs"),
    ];
    for text in texts {
        assert_eq!(searched(&search, text), reference::find(&rules, text));
        assert!(searched(&search, text).is_empty(), "nothing has leaked here");
    }
}

#[test]
fn slices_of_any_size_find_the_same() {
    let (rules, search) = (rules(), SecretSearch::built_in().unwrap());
    let text = corpus(7, &rules);
    let whole = search.find(text.as_bytes());
    for size in [1, 7, 100, 4096] {
        let mut pass = search.begin();
        let mut steps = 0;
        while search.advance(&mut pass, text.as_bytes(), size) {
            steps += 1;
            assert_eq!(pass.position(), steps * size);
        }
        assert_eq!(search.end(pass), whole);
    }
}

#[test]
fn what_a_report_shows_is_never_the_secret() {
    let (rules, search) = (rules(), SecretSearch::built_in().unwrap());
    let text = corpus(3, &rules);
    for found in search.find(text.as_bytes()) {
        let secret = &text[found.start..found.end];
        let masked = search.masked(text.as_bytes(), &found);
        let shown = masked.split('…').next().unwrap();
        assert!(secret.len() >= shown.len() + 3, "{masked}");
        assert!(masked.ends_with(&format!("({} characters)", secret.len())));
        let rule = search.rule(&found).unwrap();
        assert!(shown.is_empty() || !rule.generic, "{masked} of {}", rule.id);
    }
}

#[test]
fn a_value_from_documentation_is_found_and_called_doubtful() {
    let search = SecretSearch::built_in().unwrap();
    let text = ["id AKIA", "IOSFODNN7EXAMPLE;"].concat();
    let found = search.find(text.as_bytes());
    assert_eq!(found[0].confidence, Confidence::Low);
}
