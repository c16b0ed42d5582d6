//! What one answer lets us see, as the tests of this folder ask for it.

use crate::scan::fetch::{HeaderView, Headers, Response};
use crate::scan::plugins::markup::Markup;
use crate::scan::plugins::place::Place;

/// One answer: where it came from, its headers as far as they are visible, and its markup if it is a document.
pub(crate) struct Page<'a> {
    /// The address that answered.
    pub(crate) place: Place,
    /// The status of the answer.
    pub(crate) status: u16,
    /// What is visible of the headers.
    pub(crate) headers: &'a Headers,
    /// What the document itself says, where the answer is HTML.
    pub(crate) markup: Markup,
}

impl<'a> Page<'a> {
    /// The page behind a response.
    pub(crate) fn of(response: &'a Response) -> Self {
        let headers = &response.headers;
        let markup = if headers.view == HeaderView::Opaque {
            Markup::Hidden
        } else if is_html(headers) {
            Markup::read(&response.body.text())
        } else {
            Markup::NotHtml
        };
        Self {
            place: Place::parse(&response.url),
            status: response.status,
            headers,
            markup,
        }
    }

    /// Everything visible under `name` (lower case), or whether it is missing or hidden.
    pub(crate) fn field(&self, name: &'a str) -> Field<'a> {
        let values: Vec<&str> = self.headers.all(name).collect();
        if !values.is_empty() {
            Field::Values(values)
        } else if self.hides(name) {
            Field::Hidden
        } else {
            Field::Missing
        }
    }

    /// Whether `name` (lower case) might be there without our seeing it.
    ///
    /// A page that reads a foreign answer cannot tell a missing header from one that CORS hides, except where the
    /// target exposes it: then what is not visible is not there. `Set-Cookie` is hidden from pages whatever a target
    /// exposes (Fetch, "forbidden response-header name").
    pub(crate) fn hides(&self, name: &str) -> bool {
        self.headers.hides(name)
    }
}

/// The values of one header field, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// One value for each field line. Never empty.
    Values(Vec<&'a str>),
    /// It is not there.
    Missing,
    /// It may be there: the platform hides it.
    Hidden,
}

/// Without a media type browsers sniff; the published rules then read the body as HTML, and so do we.
fn is_html(headers: &Headers) -> bool {
    headers.first("content-type").value().is_none_or(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.is_empty()
            || essence.eq_ignore_ascii_case("text/html")
            || essence.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

#[cfg(test)]
pub(super) mod fixture {
    use super::Page;
    use crate::scan::fetch::{Body, HeaderView, Headers, Response, Timings};
    use crate::scan::plugins::security_headers::verdict::{Findings, Verdict};

    /// One test's verdict over a captured answer, and the kinds of what it found.
    pub(in super::super) fn judged(
        judge: impl FnOnce(&Page<'_>, &mut Findings) -> Verdict,
        url: &str,
        lines: &str,
        body: &str,
    ) -> (Verdict, Vec<String>) {
        let mut response = response(url, lines);
        response.body.bytes = body.as_bytes().to_vec();
        let mut findings = Findings::default();
        let verdict = judge(&Page::of(&response), &mut findings);
        let kinds = findings
            .0
            .into_iter()
            .map(|finding| finding.id.trim_start_matches("security-headers/").to_owned())
            .collect();
        (verdict, kinds)
    }

    /// The verdict where CORS hides everything that can be hidden.
    pub(in super::super) fn judged_behind_cors(
        judge: impl FnOnce(&Page<'_>, &mut Findings) -> Verdict,
    ) -> (Verdict, usize) {
        let mut response = response("https://a.test/", "content-type: text/html");
        response.headers.view = HeaderView::Cors;
        let mut findings = Findings::default();
        let verdict = judge(&Page::of(&response), &mut findings);
        (verdict, findings.0.len())
    }

    /// A response to judge, written as in a capture: `name: value` lines.
    pub(in super::super) fn response(url: &str, lines: &str) -> Response {
        let list = lines
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Response {
            status: 200,
            url: url.to_owned(),
            redirected: false,
            headers: Headers {
                list,
                view: HeaderView::All,
            },
            body: Body::default(),
            timings: Timings::default(),
            protocol: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_page_tells_missing_from_hidden_only_where_the_target_exposes_the_header() {
        let mut response = fixture::response("https://a.test/", "x-frame-options: DENY");
        assert_eq!(Page::of(&response).field("referrer-policy"), Field::Missing);
        response.headers.view = HeaderView::Cors;
        assert_eq!(
            Page::of(&response).field("x-frame-options"),
            Field::Values(vec!["DENY"])
        );
        assert_eq!(Page::of(&response).field("referrer-policy"), Field::Hidden);

        let expose = |value: &str| {
            let mut response = response.clone();
            response
                .headers
                .list
                .push(("access-control-expose-headers".into(), value.into()));
            response
        };
        let some = expose("X-Frame-Options, Referrer-Policy");
        assert_eq!(Page::of(&some).field("referrer-policy"), Field::Missing);
        assert_eq!(Page::of(&some).field("strict-transport-security"), Field::Hidden);
        let all = expose("*");
        assert_eq!(Page::of(&all).field("strict-transport-security"), Field::Missing);
        assert_eq!(
            Page::of(&all).field("set-cookie"),
            Field::Hidden,
            "no target can expose cookies"
        );
    }

    #[test]
    fn an_opaque_answer_hides_everything() {
        let mut response = fixture::response("https://a.test/", "");
        response.headers.view = HeaderView::Opaque;
        assert_eq!(Page::of(&response).field("content-type"), Field::Hidden);
    }
}
