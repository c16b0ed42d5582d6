//! Source expressions: what stands in a source list (CSP Level 3, §2.3.1).

/// One source expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `'none'`
    None,
    /// `'self'`
    SelfOrigin,
    /// `'unsafe-inline'`
    UnsafeInline,
    /// `'unsafe-eval'`
    UnsafeEval,
    /// `'strict-dynamic'`
    StrictDynamic,
    /// Another keyword that loosens nothing of what is judged here: `'wasm-unsafe-eval'`, `'report-sample'`, …
    Keyword(&'static str),
    /// `'unsafe-hashes'`
    UnsafeHashes,
    /// `'nonce-…'`: the nonce, case kept.
    Nonce(String),
    /// `'sha256-…'`, `'sha384-…'` or `'sha512-…'`
    Hash,
    /// `scheme:`: the scheme in lower case, without the colon.
    Scheme(String),
    /// `*`
    Anything,
    /// A host, with whatever stands around it.
    Host(Host),
    /// What no browser understands: it allows nothing.
    Unknown(String),
}

/// A host source: `[scheme://]host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// The scheme in lower case, if one is named.
    pub(crate) scheme: Option<String>,
    /// The host in lower case; may begin with `*.`, may be `*`.
    pub(crate) name: String,
}

impl Source {
    /// Reads one expression. Never fails: what is not understood is [`Source::Unknown`].
    pub(crate) fn parse(text: &str) -> Self {
        if let Some(quoted) = text.strip_prefix('\'') {
            return match quoted.strip_suffix('\'') {
                Some(inner) => Self::quoted(inner).unwrap_or_else(|| Self::Unknown(text.to_owned())),
                None => Self::Unknown(text.to_owned()),
            };
        }
        if text == "*" {
            return Self::Anything;
        }
        if let Some(scheme) = text.strip_suffix(':')
            && is_scheme(scheme)
        {
            return Self::Scheme(scheme.to_ascii_lowercase());
        }
        match Host::parse(text) {
            Some(host) => Self::Host(host),
            None => Self::Unknown(text.to_owned()),
        }
    }

    fn quoted(inner: &str) -> Option<Self> {
        const OTHERS: [&str; 5] = [
            "wasm-unsafe-eval",
            "report-sample",
            "inline-speculation-rules",
            "trusted-types-eval",
            "allow-duplicates",
        ];
        let lower = inner.to_ascii_lowercase();
        let value = |prefix: &str| {
            lower
                .starts_with(prefix)
                .then(|| inner[prefix.len()..].to_owned())
                .filter(|value| is_base64(value))
        };
        Some(match lower.as_str() {
            "none" => Self::None,
            "self" => Self::SelfOrigin,
            "unsafe-inline" => Self::UnsafeInline,
            "unsafe-eval" => Self::UnsafeEval,
            "strict-dynamic" => Self::StrictDynamic,
            "unsafe-hashes" => Self::UnsafeHashes,
            other => {
                if let Some(keyword) = OTHERS.into_iter().find(|keyword| *keyword == other) {
                    Self::Keyword(keyword)
                } else if let Some(nonce) = value("nonce-") {
                    Self::Nonce(nonce)
                } else if ["sha256-", "sha384-", "sha512-"]
                    .iter()
                    .any(|prefix| value(prefix).is_some())
                {
                    Self::Hash
                } else {
                    return None;
                }
            }
        })
    }

    /// Whether it lets in so much that it hardly restricts: a bare scheme of the web, or every host.
    pub(crate) fn is_broad(&self) -> bool {
        match self {
            Self::Anything => true,
            Self::Scheme(scheme) => matches!(scheme.as_str(), "http" | "https" | "ftp"),
            Self::Host(host) => {
                matches!(host.name.as_str(), "*" | "*.*")
                    && host
                        .scheme
                        .as_deref()
                        .is_none_or(|scheme| matches!(scheme, "http" | "https"))
            }
            _ => false,
        }
    }

    /// Whether it asks for something over a connection that anyone on the way can change.
    pub(crate) fn is_insecure(&self) -> bool {
        let scheme = match self {
            Self::Scheme(scheme) => Some(scheme.as_str()),
            Self::Host(host) => host.scheme.as_deref(),
            _ => None,
        };
        matches!(scheme, Some("http" | "ftp"))
    }

    /// Whether it names single scripts or styles, which switches `'unsafe-inline'` off.
    pub(crate) fn is_nonce_or_hash(&self) -> bool {
        matches!(self, Self::Nonce(_) | Self::Hash)
    }

    /// Whether it is the `data:` scheme.
    pub(crate) fn is_data(&self) -> bool {
        matches!(self, Self::Scheme(scheme) if scheme == "data")
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme.to_ascii_lowercase()), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (name, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            // The grammar has no IPv6, but browsers differ and sites write it: a host like another.
            Some((_, port)) => (&authority[..authority.len() - port.len()], port.strip_prefix(':')),
            None => match authority.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (authority, None),
            },
        };
        let name_is_one = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._*[]:".contains(&byte));
        let port_is_one = port.is_none_or(|port| {
            port == "*" || (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        });
        (name_is_one && port_is_one).then(|| Self {
            scheme,
            name: name.to_ascii_lowercase(),
        })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && text.len() - body.len() <= 2
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn expressions_are_told_apart() {
        let host = |scheme: Option<&str>, name: &str| {
            Source::Host(Host {
                scheme: scheme.map(str::to_owned),
                name: name.to_owned(),
            })
        };
        let unknown = |text: &str| Source::Unknown(text.to_owned());
        let cases = [
            ("'none'", Source::None),
            ("'SELF'", Source::SelfOrigin),
            ("'unsafe-inline'", Source::UnsafeInline),
            ("'wasm-unsafe-eval'", Source::Keyword("wasm-unsafe-eval")),
            ("'nonce-AbC+/_-=='", Source::Nonce("AbC+/_-==".into())),
            ("'NONCE-x'", Source::Nonce("x".into())),
            ("'nonce-'", unknown("'nonce-'")),
            ("'nonce-a==='", unknown("'nonce-a==='")),
            ("'nonce-a b'", unknown("'nonce-a b'")),
            (
                "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
                Source::Hash,
            ),
            ("'sha1-abcd'", unknown("'sha1-abcd'")),
            ("'self", unknown("'self")),
            ("https:", Source::Scheme("https".into())),
            ("*", Source::Anything),
            (
                "https://*.Example.com:443/path",
                host(Some("https"), "*.example.com"),
            ),
            ("example.com:*", host(None, "example.com")),
            ("example.com:http", unknown("example.com:http")),
            ("https://[::1]:80", host(Some("https"), "[::1]")),
            ("(none)", unknown("(none)")),
            ("", unknown("")),
        ];
        for (text, source) in cases {
            assert_eq!(Source::parse(text), source, "{text}");
        }
    }

    #[test]
    fn broad_and_insecure_sources_are_recognised() {
        for broad in ["*", "https:", "http:", "ftp:", "https://*", "http://*.*"] {
            assert!(Source::parse(broad).is_broad(), "{broad}");
        }
        for narrow in ["'self'", "https://*.example.com", "data:", "wss:", "blob:"] {
            assert!(!Source::parse(narrow).is_broad(), "{narrow}");
        }
        for insecure in ["http:", "ftp:", "http://a.test"] {
            assert!(Source::parse(insecure).is_insecure(), "{insecure}");
        }
        assert!(!Source::parse("https://a.test").is_insecure());
        assert!(!Source::parse("a.test").is_insecure());
    }
}
