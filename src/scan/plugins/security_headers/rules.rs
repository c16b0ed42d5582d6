//! What each outcome of a scored test is worth.
//!
//! Names and numbers are those of the MDN HTTP Observatory (`src/grader/charts.js` of mdn/mdn-http-observatory,
//! the algorithm with ten scored tests), so that a result here can be held against a result there.
//! Two of its outcomes cannot be reached here: the HSTS preload list is not carried along, so being on it earns
//! nothing, and a broken certificate is a failed fetch before it is a verdict.

/// One outcome of one test: its published name, and what it adds to or takes from the score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The published name of the outcome.
    pub(crate) outcome: &'static str,
    /// Points: negative is a penalty, positive a bonus.
    pub(crate) modifier: i32,
}

const fn rule(outcome: &'static str, modifier: i32) -> Rule {
    Rule { outcome, modifier }
}

pub(crate) mod csp {
    use super::{Rule, rule};

    pub(crate) const DEFAULT_NONE: Rule = rule("csp-implemented-with-no-unsafe-default-src-none", 10);
    pub(crate) const NO_UNSAFE: Rule = rule("csp-implemented-with-no-unsafe", 5);
    pub(crate) const UNSAFE_STYLE: Rule = rule("csp-implemented-with-unsafe-inline-in-style-src-only", 0);
    pub(crate) const INSECURE_PASSIVE: Rule = rule(
        "csp-implemented-with-insecure-scheme-in-passive-content-only",
        -10,
    );
    pub(crate) const UNSAFE_EVAL: Rule = rule("csp-implemented-with-unsafe-eval", -10);
    pub(crate) const UNSAFE_INLINE: Rule = rule("csp-implemented-with-unsafe-inline", -20);
    pub(crate) const INSECURE_SCHEME: Rule = rule("csp-implemented-with-insecure-scheme", -20);
    pub(crate) const INVALID: Rule = rule("csp-header-invalid", -25);
    pub(crate) const REPORT_ONLY: Rule = rule("csp-not-implemented-but-reporting-enabled", -25);
    pub(crate) const MISSING: Rule = rule("csp-not-implemented", -25);
}

pub(crate) mod cookies {
    use super::{Rule, rule};

    pub(crate) const SAMESITE_TOO: Rule = rule("cookies-secure-with-httponly-sessions-and-samesite", 5);
    pub(crate) const SECURE: Rule = rule("cookies-secure-with-httponly-sessions", 0);
    pub(crate) const NONE: Rule = rule("cookies-not-found", 0);
    pub(crate) const INSECURE_UNDER_HSTS: Rule =
        rule("cookies-without-secure-flag-but-protected-by-hsts", -5);
    pub(crate) const SESSION_INSECURE_UNDER_HSTS: Rule =
        rule("cookies-session-without-secure-flag-but-protected-by-hsts", -10);
    pub(crate) const INSECURE: Rule = rule("cookies-without-secure-flag", -20);
    pub(crate) const SAMESITE_INVALID: Rule = rule("cookies-samesite-flag-invalid", -20);
    pub(crate) const CSRF_WITHOUT_SAMESITE: Rule = rule("cookies-anticsrf-without-samesite-flag", -20);
    pub(crate) const SESSION_WITHOUT_HTTPONLY: Rule = rule("cookies-session-without-httponly-flag", -30);
    pub(crate) const SESSION_INSECURE: Rule = rule("cookies-session-without-secure-flag", -40);
}

pub(crate) mod cors {
    use super::{Rule, rule};

    pub(crate) const NONE: Rule = rule("cross-origin-resource-sharing-not-implemented", 0);
    pub(crate) const PUBLIC: Rule = rule("cross-origin-resource-sharing-implemented-with-public-access", 0);
    pub(crate) const RESTRICTED: Rule = rule(
        "cross-origin-resource-sharing-implemented-with-restricted-access",
        0,
    );
    pub(crate) const UNIVERSAL: Rule = rule(
        "cross-origin-resource-sharing-implemented-with-universal-access",
        -50,
    );
}

pub(crate) mod redirection {
    use super::{Rule, rule};

    pub(crate) const TO_HTTPS: Rule = rule("redirection-to-https", 0);
    pub(crate) const NOT_NEEDED: Rule = rule("redirection-not-needed-no-http", 0);
    pub(crate) const OFF_HOST: Rule = rule("redirection-off-host-from-http", -5);
    pub(crate) const LATE: Rule = rule("redirection-not-to-https-on-initial-redirection", -10);
    pub(crate) const NOT_TO_HTTPS: Rule = rule("redirection-not-to-https", -20);
    pub(crate) const MISSING: Rule = rule("redirection-missing", -20);
}

pub(crate) mod referrer {
    use super::{Rule, rule};

    pub(crate) const PRIVATE: Rule = rule("referrer-policy-private", 5);
    pub(crate) const MISSING: Rule = rule("referrer-policy-not-implemented", 0);
    pub(crate) const UNSAFE: Rule = rule("referrer-policy-unsafe", -5);
    pub(crate) const INVALID: Rule = rule("referrer-policy-header-invalid", -5);
}

pub(crate) mod hsts {
    use super::{Rule, rule};

    pub(crate) const LONG: Rule = rule("hsts-implemented-max-age-at-least-six-months", 0);
    pub(crate) const SHORT: Rule = rule("hsts-implemented-max-age-less-than-six-months", -10);
    pub(crate) const MISSING: Rule = rule("hsts-not-implemented", -20);
    pub(crate) const INVALID: Rule = rule("hsts-header-invalid", -20);
    pub(crate) const NO_HTTPS: Rule = rule("hsts-not-implemented-no-https", -20);
}

pub(crate) mod integrity {
    use super::{Rule, rule};

    pub(crate) const SAME_ORIGIN: Rule = rule("sri-implemented-and-all-scripts-loaded-securely", 5);
    pub(crate) const EXTERNAL: Rule = rule("sri-implemented-and-external-scripts-loaded-securely", 5);
    pub(crate) const NOT_HTML: Rule = rule("sri-not-implemented-response-not-html", 0);
    pub(crate) const NO_SCRIPTS: Rule = rule("sri-not-implemented-but-no-scripts-loaded", 0);
    pub(crate) const ALL_OWN: Rule = rule("sri-not-implemented-but-all-scripts-loaded-from-secure-origin", 0);
    pub(crate) const EXTERNAL_WITHOUT: Rule =
        rule("sri-not-implemented-but-external-scripts-loaded-securely", -5);
    pub(crate) const INSECURE: Rule = rule("sri-implemented-but-external-scripts-not-loaded-securely", -20);
    pub(crate) const INSECURE_WITHOUT: Rule = rule(
        "sri-not-implemented-and-external-scripts-not-loaded-securely",
        -50,
    );
}

pub(crate) mod sniffing {
    use super::{Rule, rule};

    pub(crate) const NOSNIFF: Rule = rule("x-content-type-options-nosniff", 0);
    pub(crate) const MISSING: Rule = rule("x-content-type-options-not-implemented", -5);
    pub(crate) const INVALID: Rule = rule("x-content-type-options-header-invalid", -5);
}

pub(crate) mod framing {
    use super::{Rule, rule};

    pub(crate) const VIA_CSP: Rule = rule("x-frame-options-implemented-via-csp", 5);
    pub(crate) const SAMEORIGIN_OR_DENY: Rule = rule("x-frame-options-sameorigin-or-deny", 0);
    pub(crate) const ALLOW_FROM: Rule = rule("x-frame-options-allow-from-origin", 0);
    pub(crate) const MISSING: Rule = rule("x-frame-options-not-implemented", -20);
    pub(crate) const INVALID: Rule = rule("x-frame-options-header-invalid", -20);
}

pub(crate) mod corp {
    use super::{Rule, rule};

    pub(crate) const SAME_ORIGIN: Rule = rule("corp-implemented-with-same-origin", 10);
    pub(crate) const SAME_SITE: Rule = rule("corp-implemented-with-same-site", 10);
    pub(crate) const CROSS_ORIGIN: Rule = rule("corp-implemented-with-cross-origin", 0);
    pub(crate) const MISSING: Rule = rule("corp-not-implemented", 0);
    pub(crate) const INVALID: Rule = rule("corp-header-invalid", -5);
}
