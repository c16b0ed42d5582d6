//! Where something is: the scheme, host and port of an address, as far as the tests compare them.

/// An address reduced to what the tests ask about. Anything that is not `http:` or `https:` has no scheme here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Lower case, `http` or `https`; empty where the address has neither.
    pub(crate) scheme: String,
    /// Lower case, without brackets, user or port.
    pub(crate) host: String,
    /// The named port, or the scheme's own.
    pub(crate) port: u16,
}

impl Place {
    /// Reads an absolute address as browsers hand it out. What it is not sure of stays empty; it never fails.
    pub(crate) fn parse(url: &str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self::default();
        };
        let scheme = scheme.to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Self::default(),
        };
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match host_port.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match host_port.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host_port, None),
            },
        };
        Self {
            port: port.and_then(|digits| digits.parse().ok()).unwrap_or(own_port),
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            scheme,
        }
    }

    /// Whether it was reached over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether it never leaves the machine (Secure Contexts, "potentially trustworthy origin").
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.host == "::1"
            || (self.host.starts_with("127.") && is_ipv4(&self.host))
    }

    /// What a registrar would call the same site: the registrable domain, judged without the public suffix list.
    ///
    /// Two labels, or three where the last two are a country's own second level (`co.uk`, `com.br`). It errs towards
    /// "same site" for suffixes it does not know; the list itself would weigh more than all tests together.
    pub(crate) fn site(&self) -> &str {
        if is_ipv4(&self.host) || self.host.contains(':') {
            return &self.host;
        }
        let mut labels = self.host.rsplit('.');
        let (last, second) = (
            labels.next().unwrap_or_default(),
            labels.next().unwrap_or_default(),
        );
        const SECOND_LEVELS: [&str; 12] = [
            "co", "com", "org", "net", "gov", "edu", "ac", "or", "ne", "go", "gob", "gouv",
        ];
        let take = if last.len() == 2 && SECOND_LEVELS.contains(&second) {
            3
        } else {
            2
        };
        let start = self
            .host
            .rmatch_indices('.')
            .nth(take - 1)
            .map_or(0, |(dot, _)| dot + 1);
        &self.host[start..]
    }
}

/// The absolute address that `location` means in an answer from `base`; none where it leaves the web.
///
/// As much of URL resolution as redirects need (RFC 9110, §10.2.2): another address, another host, path or query.
pub(crate) fn resolved(base: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default().trim();
    let (scheme, rest) = base.split_once("://")?;
    let authority_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_ends);
    if let Some(elsewhere) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{elsewhere}"));
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let before_path = location.split(['/', '?']).next().unwrap_or_default();
    if before_path.contains(':') {
        return (!Place::parse(location).scheme.is_empty()).then(|| location.to_owned());
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if location.is_empty() || location.starts_with('?') {
        let path = if path.is_empty() { "/" } else { path };
        return Some(format!("{scheme}://{authority}{path}{location}"));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{scheme}://{authority}{folder}/{location}"))
}

fn is_ipv4(host: &str) -> bool {
    host.parse::<core::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_address_gives_scheme_host_and_port() {
        let cases = [
            ("https://Example.com/a?b#c", "https", "example.com", 443),
            ("http://user:pw@example.com:8080/", "http", "example.com", 8080),
            ("https://[2001:db8::1]:8443/x", "https", "2001:db8::1", 8443),
            ("http://[::1]", "http", "::1", 80),
            ("https://example.com.", "https", "example.com", 443),
            ("https://a.test:99999/", "https", "a.test", 443),
            ("ftp://a.test/", "", "", 0),
            ("nonsense", "", "", 0),
        ];
        for (url, scheme, host, port) in cases {
            let place = Place::parse(url);
            assert_eq!(
                (&*place.scheme, &*place.host, place.port),
                (scheme, host, port),
                "{url}"
            );
        }
    }

    #[test]
    fn a_site_is_the_registrable_domain() {
        let cases = [
            ("https://www.example.com/", "example.com"),
            ("https://example.com/", "example.com"),
            ("https://a.b.example.co.uk/", "example.co.uk"),
            ("https://a.b.com.test/", "com.test"),
            ("https://localhost/", "localhost"),
            ("https://10.0.0.1/", "10.0.0.1"),
            ("https://[::1]/", "::1"),
        ];
        for (url, site) in cases {
            assert_eq!(Place::parse(url).site(), site, "{url}");
        }
    }

    #[test]
    fn loopback_is_recognised_and_lookalikes_are_not() {
        for url in [
            "http://localhost:3000/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://app.localhost/",
        ] {
            assert!(Place::parse(url).is_loopback(), "{url}");
        }
        for url in [
            "http://localhost.evil.test/",
            "http://127.0.0.1.nip.io/",
            "http://128.0.0.1/",
        ] {
            assert!(!Place::parse(url).is_loopback(), "{url}");
        }
    }

    #[test]
    fn a_location_is_resolved_against_the_address_that_sent_it() {
        let base = "http://a.test:8080/x/y?q#f";
        let cases = [
            ("https://b.test/z", Some("https://b.test/z")),
            ("HTTPS://b.test/", Some("HTTPS://b.test/")),
            ("//b.test/z", Some("http://b.test/z")),
            ("/z", Some("http://a.test:8080/z")),
            ("z?r#g", Some("http://a.test:8080/x/z?r")),
            ("?r", Some("http://a.test:8080/x/y?r")),
            ("", Some("http://a.test:8080/x/y")),
            ("mailto:me@a.test", None),
            ("javascript:alert(1)", None),
        ];
        for (location, expected) in cases {
            assert_eq!(resolved(base, location).as_deref(), expected, "{location}");
        }
        assert_eq!(resolved("http://a.test", "z").as_deref(), Some("http://a.test/z"));
    }

    proptest! {
        #[test]
        fn no_address_breaks_it(url in ".{0,80}", tail in "[\\[\\]:@/.\\\\é]{0,20}") {
            let place = Place::parse(&format!("http://{tail}{url}"));
            let _ = (place.site().len(), place.is_loopback());
            Place::parse(&url);
            let _ = (resolved(&url, &tail), resolved(&format!("http://{tail}"), &url));
        }
    }
}
