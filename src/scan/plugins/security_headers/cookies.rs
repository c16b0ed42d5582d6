//! Cookies, as the answer sets them (RFC 6265 and its successor draft, "6265bis").

use super::page::{Field, Page};
use super::rules::{Rule, cookies as rules};
use super::verdict::{Findings, Verdict};
use crate::scan::finding::Severity::{High, Info, Low, Medium};

const TEST: &str = "cookies";

/// Judges every cookie; the worst decides. `under_hsts` says whether browsers are told to insist on TLS for at least
/// six months, which keeps a cookie without `Secure` off unencrypted connections.
pub(crate) fn judge(page: &Page<'_>, under_hsts: bool, findings: &mut Findings) -> Verdict {
    let values = match page.field("set-cookie") {
        Field::Hidden => return Verdict::hidden(TEST),
        Field::Missing => return Verdict::scored(TEST, rules::NONE),
        Field::Values(values) => values,
    };
    let cookies: Vec<Cookie<'_>> = values
        .iter()
        .map(|value| Cookie::parse(value))
        // A load balancer's own, which sites cannot change; the published rules leave it out too.
        .filter(|cookie| !cookie.name.is_empty() && cookie.name != "heroku-session-affinity")
        .collect();
    if cookies.is_empty() {
        return Verdict::scored(TEST, rules::NONE);
    }
    for cookie in &cookies {
        note(cookie, findings);
    }
    let names: Vec<&str> = cookies.iter().map(|cookie| cookie.name).collect();
    let worst = cookies
        .iter()
        .flat_map(|cookie| faults(cookie, under_hsts))
        .min_by_key(|rule| rule.modifier);
    let rule = worst.unwrap_or(
        if cookies.iter().all(|cookie| {
            matches!(
                cookie.same_site,
                SameSite::Strict | SameSite::Lax | SameSite::None
            )
        }) {
            rules::SAMESITE_TOO
        } else {
            rules::SECURE
        },
    );
    // Names only: values may be secrets.
    Verdict::scored(TEST, rule).seen(&names)
}

/// What the published rules hold against one cookie.
fn faults(cookie: &Cookie<'_>, under_hsts: bool) -> impl Iterator<Item = Rule> {
    let session = cookie.is_session();
    [
        (
            cookie.same_site == SameSite::Invalid || (cookie.same_site == SameSite::None && !cookie.secure),
            rules::SAMESITE_INVALID,
        ),
        (!cookie.secure && under_hsts, rules::INSECURE_UNDER_HSTS),
        (!cookie.secure && !under_hsts, rules::INSECURE),
        (
            cookie.is_anti_csrf() && cookie.same_site == SameSite::Unset,
            rules::CSRF_WITHOUT_SAMESITE,
        ),
        (
            session && !cookie.secure && under_hsts,
            rules::SESSION_INSECURE_UNDER_HSTS,
        ),
        (session && !cookie.secure && !under_hsts, rules::SESSION_INSECURE),
        (session && !cookie.http_only, rules::SESSION_WITHOUT_HTTPONLY),
    ]
    .into_iter()
    .filter_map(|(holds, rule)| holds.then_some(rule))
}

fn note(cookie: &Cookie<'_>, findings: &mut Findings) {
    // Never the value.
    let seen = cookie.described();
    let session = cookie.is_session();
    if !cookie.secure {
        findings.add(
            if session { High } else { Medium },
            "cookie-insecure",
            "A cookie may travel over unencrypted connections",
            &seen,
            "Set it with Secure.",
        );
    }
    if session && !cookie.http_only {
        findings.add(
            Medium,
            "cookie-readable-session",
            "A session cookie can be read by scripts",
            &seen,
            "Set it with HttpOnly.",
        );
    }
    match cookie.same_site {
        SameSite::Unset => findings.add(
            if cookie.is_anti_csrf() { Medium } else { Low },
            "cookie-without-samesite",
            "A cookie does not say whether other sites' requests may carry it",
            &seen,
            "Set it with SameSite=Lax or SameSite=Strict; browsers differ in what they assume.",
        ),
        SameSite::Invalid => findings.add(
            Low,
            "cookie-invalid-samesite",
            "A cookie's SameSite is none of Strict, Lax and None",
            &seen,
            "Set it with SameSite=Lax or SameSite=Strict.",
        ),
        SameSite::None if !cookie.secure => findings.add(
            Medium,
            "cookie-rejected-samesite",
            "A cookie has SameSite=None without Secure, so browsers reject it",
            &seen,
            "Set it with Secure, or with SameSite=Lax.",
        ),
        SameSite::None if session => findings.add(
            Low,
            "cookie-cross-site-session",
            "Other sites' requests carry a session cookie",
            &seen,
            "Unless the site is meant to work inside others, set it with SameSite=Lax.",
        ),
        SameSite::None | SameSite::Lax | SameSite::Strict => {}
    }
    if cookie.breaks_its_prefix() {
        findings.add(
            Medium,
            "cookie-broken-prefix",
            "A cookie's attributes do not keep what its name's prefix promises, so browsers reject it",
            &seen,
            "__Secure- takes Secure; __Host- takes Secure, Path=/ and no Domain; __Http- and __Host-Http- take HttpOnly too.",
        );
    }
    if cookie.partitioned && !cookie.secure {
        findings.add(
            Low,
            "cookie-rejected-partitioned",
            "A cookie is Partitioned without Secure, so browsers reject it",
            &seen,
            "Set it with Secure.",
        );
    }
    if cookie.max_age.is_some_and(|seconds| seconds > LONGEST) {
        findings.add(
            Info,
            "cookie-too-long",
            "A cookie asks to be kept longer than browsers keep any",
            &seen,
            "Browsers cap the lifetime at 400 days; ask for what you need.",
        );
    }
}

/// 400 days (6265bis, §5.5).
const LONGEST: i64 = 400 * 86_400;

/// One cookie, without its value.
#[derive(Debug, PartialEq, Eq)]
struct Cookie<'a> {
    name: &'a str,
    secure: bool,
    http_only: bool,
    partitioned: bool,
    same_site: SameSite,
    /// Whether `Domain` widens it to subdomains.
    has_domain: bool,
    /// Whether `Path` is exactly `/`.
    path_is_root: bool,
    max_age: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    Unset,
    Strict,
    Lax,
    None,
    Invalid,
}

impl<'a> Cookie<'a> {
    /// Reads a `Set-Cookie` value (6265bis, §5.6). Never fails: what cannot be read is not set.
    fn parse(value: &'a str) -> Self {
        let mut parts = value.split(';');
        let pair = parts.next().unwrap_or_default();
        // Without `=` all of it is the value, and the name is empty.
        let name = pair.split_once('=').map_or("", |(name, _)| name.trim());
        let mut cookie = Self {
            name,
            secure: false,
            http_only: false,
            partitioned: false,
            same_site: SameSite::Unset,
            has_domain: false,
            path_is_root: false,
            max_age: None,
        };
        for attribute in parts {
            let (name, value) = match attribute.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim()),
                None => (attribute.trim(), ""),
            };
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("secure") {
                cookie.secure = true;
            } else if is("httponly") {
                cookie.http_only = true;
            } else if is("partitioned") {
                cookie.partitioned = true;
            } else if is("samesite") {
                cookie.same_site = SameSite::parse(value);
            } else if is("domain") {
                cookie.has_domain = !value.is_empty();
            } else if is("path") {
                cookie.path_is_root = value == "/";
            } else if is("max-age") && value.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                cookie.max_age = value.parse().ok().or(cookie.max_age);
            }
        }
        cookie
    }

    /// Whether its name tells that somebody is logged in by it (the published rules' guess).
    fn is_session(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        name.contains("login") || name.contains("sess")
    }

    /// Whether its name tells that it guards forms.
    fn is_anti_csrf(&self) -> bool {
        self.name.to_ascii_lowercase().contains("csrf")
    }

    /// Whether its name begins with a prefix whose promise it breaks (6265bis, §4.1.3). Names compare without case there.
    fn breaks_its_prefix(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let host = self.secure && !self.has_domain && self.path_is_root;
        [
            ("__host-http-", host && self.http_only),
            ("__host-", host),
            ("__http-", self.secure && self.http_only),
            ("__secure-", self.secure),
        ]
        .into_iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .is_some_and(|(_, kept)| !kept)
    }

    fn described(&self) -> String {
        let mut text = self.name.to_owned();
        let same_site = match self.same_site {
            SameSite::Unset => None,
            SameSite::Strict => Some("SameSite=Strict"),
            SameSite::Lax => Some("SameSite=Lax"),
            SameSite::None => Some("SameSite=None"),
            SameSite::Invalid => Some("SameSite=?"),
        };
        let attributes = [
            self.secure.then_some("Secure"),
            self.http_only.then_some("HttpOnly"),
            self.partitioned.then_some("Partitioned"),
            self.has_domain.then_some("Domain"),
            same_site,
        ];
        for attribute in attributes.into_iter().flatten() {
            text.push_str("; ");
            text.push_str(attribute);
        }
        text
    }
}

impl SameSite {
    fn parse(value: &str) -> Self {
        if value.eq_ignore_ascii_case("strict") {
            Self::Strict
        } else if value.eq_ignore_ascii_case("lax") {
            Self::Lax
        } else if value.eq_ignore_ascii_case("none") {
            Self::None
        } else {
            Self::Invalid
        }
    }
}

#[cfg(test)]
mod tests;
