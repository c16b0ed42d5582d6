//! Serialized policies: from header values to directives (CSP Level 3, §2.2).

use super::source::Source;

/// One policy, as one element of one header value gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    directives: Vec<Directive>,
    /// Directives that stand there twice: browsers ignore all but the first.
    pub(crate) duplicates: Vec<String>,
}

/// More policies, or more directives in one, than any site needs; what comes after is a hostile answer's and is left.
const MOST_POLICIES: usize = 32;
const MOST_DIRECTIVES: usize = 64;

/// One directive: a name in lower case and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// The name, in lower case.
    pub(crate) name: String,
    /// Its values, as sources. For directives that are no source list they mean nothing.
    pub(crate) sources: Vec<Source>,
    /// Its values as they stand there.
    pub(crate) text: String,
}

impl Policy {
    /// Every policy in these header values. A value is a comma-separated list; empty policies are dropped, as
    /// browsers drop them.
    pub(crate) fn list<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        values
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(Self::parse)
            .filter(|policy| !policy.directives.is_empty())
            .take(MOST_POLICIES)
            .collect()
    }

    fn parse(serialized: &str) -> Self {
        let mut policy = Self::default();
        for token in serialized.split(';') {
            let mut words = token.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            let name = name.to_ascii_lowercase();
            if policy.directive(&name).is_some() {
                policy.duplicates.push(name);
                continue;
            }
            if policy.directives.len() == MOST_DIRECTIVES {
                break;
            }
            let words: Vec<&str> = words.collect();
            policy.directives.push(Directive {
                sources: words.iter().map(|word| Source::parse(word)).collect(),
                text: words.join(" "),
                name,
            });
        }
        policy
    }

    /// Every directive that counts, in order.
    pub(crate) fn directives(&self) -> &[Directive] {
        &self.directives
    }

    /// The directive of this name, if it is there itself.
    pub(crate) fn directive(&self, name: &str) -> Option<&Directive> {
        self.directives.iter().find(|directive| directive.name == name)
    }

    /// The source list that governs `name`: its own, or the first there is of those it falls back to (CSP Level 3,
    /// §6.8.3). `None` means that the policy restricts nothing of the kind.
    pub(crate) fn governing(&self, name: &str) -> Option<&Directive> {
        let fallbacks: &[&str] = match name {
            "script-src-elem" | "script-src-attr" => &["script-src", "default-src"],
            "style-src-elem" | "style-src-attr" => &["style-src", "default-src"],
            "worker-src" => &["child-src", "script-src", "default-src"],
            "frame-src" => &["child-src", "default-src"],
            "connect-src" | "child-src" | "font-src" | "img-src" | "manifest-src" | "media-src"
            | "object-src" | "prefetch-src" | "script-src" | "style-src" => &["default-src"],
            _ => &[],
        };
        self.directive(name)
            .or_else(|| fallbacks.iter().find_map(|fallback| self.directive(fallback)))
    }

    /// The policy without what only a header can set (HTML, `http-equiv="Content-Security-Policy"`), and what that was.
    pub(crate) fn in_markup(mut self) -> (Self, Vec<String>) {
        let mut ignored = Vec::new();
        self.directives.retain(|directive| {
            let kept = !matches!(
                directive.name.as_str(),
                "frame-ancestors" | "report-uri" | "sandbox"
            );
            if !kept {
                ignored.push(directive.name.clone());
            }
            kept
        });
        (self, ignored)
    }
}

impl Directive {
    /// Whether it allows nothing: empty, or `'none'` alone (`'none'` beside others is ignored).
    pub(crate) fn allows_nothing(&self) -> bool {
        self.sources.is_empty() || self.sources == [Source::None]
    }

    /// Whether some source is like that.
    pub(crate) fn any(&self, like: impl FnMut(&Source) -> bool) -> bool {
        self.sources.iter().any(like)
    }

    /// Whether any inline code of its kind runs. A nonce, a hash or `'strict-dynamic'` switches `'unsafe-inline'` off
    /// (CSP Level 3, §6.7.3.2); for styles `'strict-dynamic'` means nothing.
    pub(crate) fn allows_all_inline(&self) -> bool {
        self.any(|source| *source == Source::UnsafeInline)
            && !self.any(Source::is_nonce_or_hash)
            && !(self.is_script() && self.any(|source| *source == Source::StrictDynamic))
    }

    /// Whether trust comes from nonces and hashes alone, so that hosts and schemes in the list mean nothing.
    pub(crate) fn is_strict_dynamic(&self) -> bool {
        self.is_script() && self.any(|source| *source == Source::StrictDynamic)
    }

    fn is_script(&self) -> bool {
        self.name.starts_with("script-src") || self.name == "default-src"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn one(text: &str) -> Policy {
        Policy::list([text]).remove(0)
    }

    #[test]
    fn header_values_are_lists_of_policies() {
        let policies = Policy::list(["default-src 'self', script-src a.test", " ,, ;;", "img-src *"]);
        let names: Vec<&str> = policies
            .iter()
            .map(|policy| &*policy.directives()[0].name)
            .collect();
        assert_eq!(names, ["default-src", "script-src", "img-src"]);
    }

    #[test]
    fn names_ignore_case_and_the_first_of_two_counts() {
        let policy = one("SCRIPT-src 'self';\tscript-SRC *; ;img-src\n a.test  b.test");
        assert_eq!(
            policy.directive("script-src").unwrap().sources,
            [Source::SelfOrigin]
        );
        assert_eq!(policy.duplicates, ["script-src"]);
        assert_eq!(policy.directive("img-src").unwrap().text, "a.test b.test");
    }

    #[test]
    fn fetch_directives_fall_back_along_their_own_chains() {
        let policy = one("default-src d.test; script-src s.test; child-src c.test");
        let governing = |name| policy.governing(name).map(|directive| &*directive.text);
        assert_eq!(governing("script-src-elem"), Some("s.test"));
        assert_eq!(governing("style-src-attr"), Some("d.test"));
        assert_eq!(governing("worker-src"), Some("c.test"));
        assert_eq!(governing("frame-src"), Some("c.test"));
        assert_eq!(governing("object-src"), Some("d.test"));
        assert_eq!(
            governing("base-uri"),
            None,
            "document directives have no fallback"
        );
        assert_eq!(governing("form-action"), None);
        assert_eq!(governing("frame-ancestors"), None);
    }

    #[test]
    fn a_nonce_switches_unsafe_inline_off() {
        let inline = |list: &str| {
            let policy = one(list);
            policy.directives()[0].allows_all_inline()
        };
        assert!(inline("script-src 'self' 'unsafe-inline'"));
        assert!(!inline("script-src 'nonce-abc' 'unsafe-inline'"));
        assert!(!inline("style-src 'sha256-abc=' 'unsafe-inline'"));
        assert!(!inline("script-src 'strict-dynamic' 'unsafe-inline'"));
        assert!(inline("style-src 'strict-dynamic' 'unsafe-inline'"));
    }

    #[test]
    fn a_hostile_policy_is_read_up_to_a_bound() {
        let text: String = (0..100_000).map(|n| format!("d{n};")).collect();
        assert_eq!(one(&text).directives().len(), MOST_DIRECTIVES);
        assert_eq!(Policy::list(["a,".repeat(1000).as_str()]).len(), MOST_POLICIES);
    }

    #[test]
    fn markup_cannot_set_frame_ancestors() {
        let (policy, ignored) = one("default-src 'none'; frame-ancestors 'none'; sandbox").in_markup();
        assert_eq!(policy.directives().len(), 1);
        assert_eq!(ignored, ["frame-ancestors", "sandbox"]);
    }

    proptest! {
        #[test]
        fn no_policy_breaks_the_parser(text in "[ -~\\t\\n;,'é*:]{0,200}") {
            for policy in Policy::list([text.as_str()]) {
                for directive in policy.directives() {
                    prop_assert!(!directive.name.is_empty());
                    let _ = (directive.allows_nothing(), directive.allows_all_inline());
                }
            }
        }
    }
}
