//! `security-headers`: what an answer's headers do for the safety of whoever opens it, test by test, and a score.
//!
//! | room | what is in it |
//! |---|---|
//! | `page`, `structured` | what one answer lets us see: fields, structured values |
//! | `csp` | Content-Security-Policy |
//! | `hsts`, `framing`, `sniffing`, `referrer`, `permissions`, `isolation`, `cookies`, `cors` | one header, or family, each |
//! | `integrity`, `redirection` | scripts from elsewhere; the way from http to https |
//! | `rules`, `score` | the published rules, and what they add up to |
//!
//! A browser shows a page only some headers of a foreign answer. What may be there without being visible is *hidden*,
//! never *missing*: it makes no finding and no score, and the score is then an upper bound.

mod cookies;
mod cors;
mod csp;
mod framing;
mod hsts;
mod integrity;
mod isolation;
mod page;
mod permissions;
mod redirection;
mod referrer;
mod rules;
mod score;
mod sniffing;
mod structured;
mod verdict;

use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::json;

use self::page::Page;
use self::redirection::Route;
use self::score::Score;
use self::verdict::Findings;
use crate::scan::fetch::{Body, FetchErrorKind, HeaderView, Headers, Redirect, Request, Response, Timings};
use crate::scan::finding::Severity;
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::plugins::cors_policy;
use crate::scan::plugins::place::{Place, resolved};
use crate::scan::plugins::probed::Probed;
use crate::scan::target::{Scheme, Target};

/// The name of the plugin.
pub const NAME: &str = "security-headers";

/// Judges the headers of a target's answer. Passive: it takes the answer that `http-probe` has, or sends one `GET`; on
/// the server side it sends at most six more along the redirects from the target's unencrypted address.
#[derive(Clone, Copy, Debug, Default)]
pub struct SecurityHeaders;

impl Plugin for SecurityHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Introspection
    }

    /// The probe's answer is judged, so that it is asked for once; what `cors-policy` found counts in the score.
    fn needs(&self) -> &'static [&'static str] {
        &["http-probe", cors_policy::NAME]
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        async move {
            let response = answer(target, ctx, earlier).await?;
            let route = route(target, &response, ctx).await;
            let universal = earlier
                .outcome(cors_policy::NAME)
                .is_some_and(|outcome| outcome.details["universal"] == true);
            Ok(assess(&response, &route, universal))
        }
        .boxed_local()
    }
}

/// The answer to judge: the probe's, or one of our own where there is none.
async fn answer(target: &Target, ctx: &Context, earlier: &Earlier) -> Result<Rc<Response>, PluginError> {
    match Probed::of(earlier) {
        Probed::Answered(response) => return Ok(response),
        Probed::Hidden => return Ok(Rc::new(unreadable(target))),
        Probed::Unreachable => return Err(PluginError::Skipped("Nobody answers there.".to_owned())),
        Probed::Unknown => {}
    }
    match ctx.fetch(Request::get(target.url()).max_body(MOST_MARKUP)).await {
        Ok(response) => Ok(Rc::new(response)),
        Err(error) if error.kind == FetchErrorKind::BlockedByCors => Ok(Rc::new(unreadable(target))),
        Err(error) => Err(error.into()),
    }
}

/// Policies and scripts stand near the top of a document; half a MiB of it is enough.
const MOST_MARKUP: usize = 512 << 10;

/// All tests over one answer.
fn assess(response: &Response, route: &Route, universal_cors: bool) -> Outcome {
    let page = Page::of(response);
    let mut findings = Findings::default();
    let mut verdicts = vec![csp::judge(&page, &mut findings)];
    let hsts = hsts::judge(&page, &mut findings);
    let under_hsts = hsts.modifier == Some(0);
    verdicts.push(hsts);
    verdicts.push(redirection::judge(route, &mut findings));
    verdicts.push(framing::judge(&page, &mut findings));
    verdicts.push(sniffing::judge(&page, &mut findings));
    verdicts.push(referrer::judge(&page, &mut findings));
    verdicts.push(permissions::judge(&page, &mut findings));
    verdicts.extend(isolation::judge(&page, &mut findings));
    verdicts.push(cookies::judge(&page, under_hsts, &mut findings));
    verdicts.push(cors::judge(&page, universal_cors, &mut findings));
    verdicts.push(integrity::judge(&page, &mut findings));

    let hidden: Vec<&str> = verdicts
        .iter()
        .filter(|verdict| verdict.is_hidden())
        .map(|verdict| verdict.test)
        .collect();
    note_hidden(&hidden, &mut findings);
    let score = Score::of(page.status, &verdicts);
    Outcome {
        summary: score.summary(),
        details: json!({
            "url": response.url,
            "status": page.status,
            "score": score,
            "hidden": hidden,
            "tests": verdicts,
        }),
        findings: findings.0,
        response: None,
    }
}

/// Cookies are hidden from every page there is, so they alone are not worth a finding.
fn note_hidden(hidden: &[&str], findings: &mut Findings) {
    if hidden.iter().any(|test| *test != "cookies") {
        findings.add(
            Severity::Info,
            "hidden",
            "The browser hides some headers of this target, so nothing is said about them",
            &hidden.join(", "),
            "Scan from the command line or the edge to see them, or let the target send Access-Control-Expose-Headers: *.",
        );
    }
}

/// The answer that CORS forbids to read: it is there, and everything about it is hidden.
fn unreadable(target: &Target) -> Response {
    Response {
        status: 0,
        url: target.url(),
        redirected: false,
        headers: Headers {
            list: Vec::new(),
            view: HeaderView::Opaque,
        },
        body: Body::default(),
        timings: Timings::default(),
        protocol: None,
    }
}

/// Where the target's unencrypted address leads. The answer itself often tells; only otherwise, and only where the
/// platform shows redirects, the way is walked.
async fn route(target: &Target, response: &Response, ctx: &Context) -> Route {
    let arrived = Place::parse(&response.url);
    match target.scheme {
        Scheme::Http if response.headers.view == HeaderView::Opaque => Route::Hidden,
        // Changed without a redirect: the platform itself went to https.
        Scheme::Http if !response.redirected && arrived.is_https() => Route::Hidden,
        Scheme::Http if !response.redirected => Route::Hops(vec![arrived]),
        Scheme::Http if !arrived.is_https() => Route::Hops(vec![Place::parse(&target.url()), arrived]),
        _ if !ctx.capabilities().sees_redirects => Route::Hidden,
        Scheme::Http => match walk(target.url(), ctx).await {
            Route::NoHttp => Route::Hidden,
            route => route,
        },
        // The unencrypted twin of a port of its own is anybody's guess.
        Scheme::Https if target.port != Scheme::Https.port() => Route::NoHttp,
        Scheme::Https => {
            let twin = Target {
                scheme: Scheme::Http,
                port: Scheme::Http.port(),
                ..target.clone()
            };
            walk(twin.url(), ctx).await
        }
    }
}

/// Follows redirects by hand, from an unencrypted address to the first encrypted one.
async fn walk(mut url: String, ctx: &Context) -> Route {
    const MOST_HOPS: usize = 5;
    let mut hops = vec![Place::parse(&url)];
    while hops.len() <= MOST_HOPS {
        let request = Request::get(url.clone()).redirect(Redirect::Manual).max_body(0);
        let response = match ctx.fetch(request).await {
            Ok(response) => response,
            Err(error) if hops.len() == 1 => {
                return match error.kind {
                    FetchErrorKind::Aborted | FetchErrorKind::BreakerOpen => Route::Hidden,
                    _ => Route::NoHttp,
                };
            }
            Err(_) => break,
        };
        let next = (300..400)
            .contains(&response.status)
            .then(|| response.header("location").value())
            .flatten()
            .and_then(|location| resolved(&url, location));
        let Some(next) = next else { break };
        let place = Place::parse(&next);
        let arrived = place.is_https();
        hops.push(place);
        if arrived {
            break;
        }
        url = next;
    }
    Route::Hops(hops)
}

#[cfg(test)]
mod tests;
