//! What a document says about itself: policies in `<meta>`, and the scripts and styles it loads.
//!
//! A scanner for tags, not an HTML parser: it knows comments, quoting and the elements whose content is text (HTML,
//! "tokenization"), which is what it takes to neither miss a tag nor see one inside a script.

/// What the body of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Markup {
    /// Not a document.
    NotHtml,
    /// Out of sight: the platform gives no body.
    Hidden,
    /// A document.
    Document(Document),
}

/// The parts of a document that the tests look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// `<meta http-equiv="Content-Security-Policy">`
    pub(crate) policies: Vec<String>,
    /// `<meta name="referrer">`
    pub(crate) referrer: Vec<String>,
    /// `<script>` elements that run, in order.
    pub(crate) scripts: Vec<Resource>,
    /// `<link rel="modulepreload">`: the scripts that those will import, in order.
    pub(crate) preloads: Vec<Resource>,
    /// `<link rel="stylesheet">` elements, in order.
    pub(crate) styles: Vec<Resource>,
}

/// A script or a style sheet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The address as it stands there; none where the script is inline.
    pub(crate) address: Option<String>,
    /// Whether it carries an `integrity` that is not empty.
    pub(crate) has_integrity: bool,
    /// Whether it carries `crossorigin`, without which `integrity` of a foreign origin always fails.
    pub(crate) has_crossorigin: bool,
}

impl Markup {
    /// Reads a document. Never fails: what is no tag is text.
    pub(crate) fn read(text: &str) -> Self {
        let mut document = Document::default();
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            } else if rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let (tag, after) = Tag::read(rest);
                rest = match tag.name.as_str() {
                    "script" | "style" | "textarea" | "title" | "noscript" | "iframe" | "xmp"
                    | "template" => after_end_tag(after, &tag.name),
                    _ => after,
                };
                document.note(&tag);
            }
        }
        Self::Document(document)
    }

    /// The document, if it is one.
    pub(crate) fn document(&self) -> Option<&Document> {
        match self {
            Self::Document(document) => Some(document),
            Self::NotHtml | Self::Hidden => None,
        }
    }
}

impl Document {
    fn note(&mut self, tag: &Tag) {
        match tag.name.as_str() {
            "meta" => {
                let Some(content) = tag.attribute("content") else {
                    return;
                };
                let is = |attribute: &str, value: &str| {
                    tag.attribute(attribute)
                        .is_some_and(|held| held.trim().eq_ignore_ascii_case(value))
                };
                if is("http-equiv", "content-security-policy") {
                    self.policies.push(content.to_owned());
                } else if is("name", "referrer") {
                    self.referrer.push(content.to_owned());
                }
            }
            "script" if tag.runs_as_script() => self.scripts.push(tag.resource("src")),
            "link" if tag.has_token("rel", "modulepreload") => self.preloads.push(tag.resource("href")),
            "link" if tag.has_token("rel", "stylesheet") => self.styles.push(tag.resource("href")),
            _ => {}
        }
    }
}

/// A start tag: its name in lower case and its attributes, of which the first of each name counts.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// Reads the tag that begins at `text` (after its `<`); gives it and what follows it.
    fn read(text: &str) -> (Self, &str) {
        let name_ends = text
            .find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>')
            .unwrap_or(text.len());
        let mut tag = Self {
            name: text[..name_ends].to_ascii_lowercase(),
            attributes: Vec::new(),
        };
        let mut rest = &text[name_ends..];
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            let Some(first) = rest.chars().next() else {
                return (tag, rest);
            };
            if first == '>' {
                return (tag, &rest[1..]);
            }
            // A `=` in first place belongs to the name (HTML, "before attribute name state").
            let name_from = if first == '=' { 1 } else { 0 };
            let name_ends = rest[name_from..]
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='))
                .map_or(rest.len(), |at| at + name_from);
            let name = rest[..name_ends].to_ascii_lowercase();
            rest = rest[name_ends..].trim_start_matches(|c: char| c.is_ascii_whitespace());
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start_matches(|c: char| c.is_ascii_whitespace());
                let (raw, next) = match after.chars().next() {
                    Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    _ => {
                        let ends = after
                            .find(|c: char| c.is_ascii_whitespace() || c == '>')
                            .unwrap_or(after.len());
                        after.split_at(ends)
                    }
                };
                value = decoded(raw);
                rest = next;
            }
            tag.attributes.push((name, value));
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    fn has_token(&self, attribute: &str, token: &str) -> bool {
        self.attribute(attribute).is_some_and(|value| {
            value
                .split_ascii_whitespace()
                .any(|word| word.eq_ignore_ascii_case(token))
        })
    }

    /// Data blocks, import maps and speculation rules load nothing.
    fn runs_as_script(&self) -> bool {
        match self
            .attribute("type")
            .map(|kind| kind.trim().to_ascii_lowercase())
        {
            None => true,
            Some(kind) => {
                kind.is_empty()
                    || kind == "module"
                    || kind.ends_with("javascript")
                    || kind.ends_with("ecmascript")
            }
        }
    }

    fn resource(&self, address: &str) -> Resource {
        Resource {
            address: self
                .attribute(address)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty()),
            has_integrity: self
                .attribute("integrity")
                .is_some_and(|value| !value.trim().is_empty()),
            has_crossorigin: self.attribute("crossorigin").is_some(),
        }
    }
}

/// What follows the end tag of an element whose content is not looked at.
fn after_end_tag<'a>(text: &'a str, name: &str) -> &'a str {
    text.match_indices("</")
        .map(|(at, _)| &text[at + 2..])
        .find(|rest| {
            rest.get(..name.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(name))
                && rest[name.len()..]
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_ascii_whitespace() || c == '/' || c == '>')
        })
        .unwrap_or("")
}

/// An attribute's value with its character references resolved, as far as policies and addresses need them.
fn decoded(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((character, length)) => {
                text.push(character);
                rest = &rest[length..];
            }
            None => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let character = match name {
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "lt" => '<',
        "gt" => '>',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn document(text: &str) -> Document {
        Markup::read(text).document().cloned().unwrap()
    }

    #[test]
    fn policies_in_meta_are_found_and_their_references_resolved() {
        let found = document(
            "<!doctype html><HEAD><META content='default-src &#39;self&#39;; img-src &#x2a;' \
             HTTP-EQUIV=Content-Security-Policy><meta name=referrer content=no-referrer />",
        );
        assert_eq!(found.policies, ["default-src 'self'; img-src *"]);
        assert_eq!(found.referrer, ["no-referrer"]);
    }

    #[test]
    fn scripts_are_found_with_what_guards_them() {
        let found = document(
            r#"<script src="https://cdn.test/a.js" integrity="sha384-x" crossorigin></script>
               <script>if (a</b/) document.write("<script src=evil.js>")</script>
               <SCRIPT SRC=/b.js></SCRIPT ><script type="application/json">{"a": "<script src=c.js>"}</script>
               <link rel="preload stylesheet" href=x.css><link rel=icon href=y.ico><link rel=modulepreload href=d.js>"#,
        );
        let addresses: Vec<_> = found
            .scripts
            .iter()
            .map(|script| script.address.as_deref())
            .collect();
        assert_eq!(addresses, [Some("https://cdn.test/a.js"), None, Some("/b.js")]);
        assert!(found.scripts[0].has_integrity && found.scripts[0].has_crossorigin);
        assert!(!found.scripts[2].has_integrity);
        assert_eq!(found.styles.len(), 1);
        assert_eq!(found.preloads[0].address.as_deref(), Some("d.js"));
    }

    #[test]
    fn what_is_text_is_not_markup() {
        for text in [
            "<!-- <script src=a.js></script> -->",
            "<title><script src=a.js></script></title>",
            "<textarea><script src=a.js></textarea>",
            "<template><script src=a.js></script></template>",
            "<p title='<script src=a.js>'>",
            "a < script src=a.js>",
            "<!-- never closed <script src=a.js>",
        ] {
            assert_eq!(document(text).scripts, [], "{text}");
        }
    }

    #[test]
    fn broken_tags_end_somewhere() {
        for text in [
            "<",
            "<a",
            "<a b",
            "<a b=",
            "<a b='",
            "<a =x>",
            "<script",
            "<script src=x",
            "<a\u{e9}=\u{e9}>",
            "<é>",
        ] {
            document(text);
        }
        assert_eq!(document("<script src='a.js'async></script>").scripts.len(), 1);
        let twice = document("<script src=a.js src=b.js></script>").scripts;
        assert_eq!(twice[0].address.as_deref(), Some("a.js"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_scanner(text in "[<>/!\"'=& a-z#;é-]{0,120}", free in ".{0,120}") {
            Markup::read(&text);
            Markup::read(&free);
        }
    }
}
