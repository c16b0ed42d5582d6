//! Structured field values (RFC 9651), as much of them as the headers of this folder use: dictionaries and items of
//! tokens, strings and numbers, inner lists of these, parameters.

use std::collections::BTreeMap;

/// A member of a dictionary, or an item on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A token, such as `self` or `*`.
    Token(String),
    /// A quoted string.
    Text(String),
    /// A number, a boolean or a byte sequence, as it stands there: nothing here looks into it.
    Other(String),
    /// `( … )`
    List(Vec<Value>),
}

/// Reads a dictionary. A name that stands twice keeps its last value.
pub(crate) fn dictionary(text: &str) -> Option<BTreeMap<String, Value>> {
    let mut reader = Reader(text.trim_matches([' ', '\t']));
    let mut members = BTreeMap::new();
    if reader.0.is_empty() {
        return Some(members);
    }
    loop {
        let name = reader.key()?;
        let value = if reader.take('=') {
            reader.member()?
        } else {
            Value::Other("?1".to_owned())
        };
        reader.parameters()?;
        members.insert(name, value);
        reader.spaces();
        if reader.0.is_empty() {
            return Some(members);
        }
        if !reader.take(',') {
            return None;
        }
        reader.spaces();
        if reader.0.is_empty() {
            return None;
        }
    }
}

/// Reads one item that is a token, with whatever parameters; the token.
pub(crate) fn token(text: &str) -> Option<String> {
    let mut reader = Reader(text.trim_matches([' ', '\t']));
    let Value::Token(token) = reader.bare()? else {
        return None;
    };
    reader.parameters()?;
    reader.0.is_empty().then_some(token)
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn take(&mut self, expected: char) -> bool {
        match self.0.strip_prefix(expected) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take_while(&mut self, like: impl Fn(u8) -> bool) -> &'a str {
        let end = self
            .0
            .bytes()
            .position(|byte| !like(byte))
            .unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<String> {
        let starts_right = self
            .0
            .starts_with(|first: char| first.is_ascii_lowercase() || first == '*');
        starts_right.then(|| {
            self.take_while(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
            })
            .to_owned()
        })
    }

    fn member(&mut self) -> Option<Value> {
        if !self.take('(') {
            return self.bare();
        }
        let mut items = Vec::new();
        loop {
            self.0 = self.0.trim_start_matches(' ');
            if self.take(')') {
                return Some(Value::List(items));
            }
            items.push(self.bare()?);
            self.parameters()?;
            if !self.0.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(';') {
            self.0 = self.0.trim_start_matches(' ');
            self.key()?;
            if self.take('=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Value> {
        match self.0.bytes().next()? {
            b'"' => self.text(),
            b':' => {
                self.take(':');
                let bytes = self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.take(':').then(|| Value::Other(bytes.to_owned()))
            }
            b'?' => {
                self.take('?');
                let bit = self.take_while(|byte| byte == b'0' || byte == b'1');
                (bit.len() == 1).then(|| Value::Other(format!("?{bit}")))
            }
            byte if byte == b'-' || byte.is_ascii_digit() => Some(Value::Other(
                self.take_while(|byte| byte.is_ascii_digit() || b"-.".contains(&byte))
                    .to_owned(),
            )),
            byte if byte == b'*' || byte.is_ascii_alphabetic() => Some(Value::Token(
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte))
                    .to_owned(),
            )),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Value> {
        let mut text = String::new();
        let mut characters = self.0.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(Value::Text(text));
                }
                '\\' => match characters.next()?.1 {
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return None,
                },
                ' '..='~' => text.push(character),
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn dictionaries_are_read() {
        let token = |text: &str| Value::Token(text.into());
        let text = |text: &str| Value::Text(text.into());
        let read =
            dictionary(r#"geolocation=(), camera=(self "https://a.test"), usb=*;q=1, a=1.5;b, c"#).unwrap();
        let expected = [
            ("geolocation", Value::List(vec![])),
            ("camera", Value::List(vec![token("self"), text("https://a.test")])),
            ("usb", token("*")),
            ("a", Value::Other("1.5".into())),
            ("c", Value::Other("?1".into())),
        ];
        assert_eq!(
            read,
            expected.map(|(name, value)| (name.to_owned(), value)).into()
        );
        assert_eq!(dictionary("a=1, a=b").unwrap()["a"], token("b"));
        assert!(dictionary("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        for text in [
            "camera 'none'; usb 'self'",
            "camera=()  usb=()",
            "camera=(self",
            "camera=('self')",
            "Camera=()",
            "camera=(),",
            "camera=,usb=()",
            "a=\"unclosed",
            "a=\"bad \\x escape\"",
            "a=é",
        ] {
            assert_eq!(dictionary(text), None, "{text}");
        }
    }

    #[test]
    fn an_item_is_a_token_with_parameters() {
        assert_eq!(
            token("same-origin; report-to=\"coop\"").as_deref(),
            Some("same-origin")
        );
        assert_eq!(token(" require-corp ").as_deref(), Some("require-corp"));
        for bad in [
            "\"same-origin\"",
            "same-origin, unsafe-none",
            "same-origin; report-to=coop x",
            "",
            "1",
        ] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,60}", likely in "[a-c()=,; \"*\\\\?:1é]{0,40}") {
            let _ = (dictionary(&text), token(&text), dictionary(&likely), token(&likely));
        }
    }
}
