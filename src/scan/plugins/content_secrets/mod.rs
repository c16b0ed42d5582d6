//! `content-secrets`: credentials left in a page or in the scripts it loads.
//!
//! What is found is told by its place and by what is public of it; the credential itself leaves this file nowhere.

mod leaks;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::PluginEntry;
use super::markup::Markup;
use super::place::{Place, resolved};
use super::probed::Probed;
use crate::kernels::secrets::{Match, SecretSearch};
use crate::scan::fetch::{FetchError, FetchErrorKind, Request, Response};
use crate::scan::plugin::{Context, Earlier, Level, Mode, Outcome, Plugin, PluginError};
use crate::scan::target::Target;
use leaks::{Leaks, without_secrets};

/// Bytes of one page or script that are searched; bundles of applications are smaller.
const MOST_BYTES: usize = 2 << 20;
/// Scripts of one page that are asked for.
const MOST_SCRIPTS: usize = 30;
/// Of them at once.
const AT_ONCE: usize = 4;
/// For how long new ones are asked for: a slow page must not cost what was found in it.
const LONGEST: Duration = Duration::from_secs(12);
/// Bytes that are searched in one go, about a millisecond's work; then others have their turn.
const SLICE: usize = 128 << 10;

/// Searches what anybody may read there: the page, and the scripts of its own origin.
#[derive(Debug)]
pub struct ContentSecrets {
    search: SecretSearch,
    timeout: Duration,
}

pub(super) fn entry() -> PluginEntry {
    PluginEntry::new("content-secrets", Mode::Passive, Level::Analysis, |config| {
        Ok(Rc::new(ContentSecrets::new(config.request_timeout())?))
    })
}

impl ContentSecrets {
    /// A search by the rules that come with the package; each request may take so long.
    ///
    /// # Errors
    /// None in practice: a test builds it.
    pub fn new(timeout: Duration) -> Result<Self, String> {
        Ok(Self {
            search: SecretSearch::built_in()?,
            timeout,
        })
    }
}

impl Plugin for ContentSecrets {
    fn name(&self) -> &'static str {
        "content-secrets"
    }

    fn mode(&self) -> Mode {
        Mode::Passive
    }

    fn level(&self) -> Level {
        Level::Analysis
    }

    /// The probe's answer is searched, so that it is asked for once.
    fn needs(&self) -> &'static [&'static str] {
        &["http-probe"]
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        ctx: &'a Context,
        earlier: &'a Earlier,
    ) -> LocalBoxFuture<'a, Result<Outcome, PluginError>> {
        Box::pin(async move {
            let page = self.page(target, ctx, earlier).await?;
            let mut leaks = Leaks::default();
            let mut texts = Texts::default();
            self.read(ctx, &page, &mut leaks, &mut texts).await;
            self.scripts(ctx, &page, &mut leaks, &mut texts).await;
            Ok(self.outcome(leaks, texts))
        })
    }
}

impl ContentSecrets {
    /// The page to search: the probe's answer, or one of our own where there is none or only a part of it.
    async fn page(
        &self,
        target: &Target,
        ctx: &Context,
        earlier: &Earlier,
    ) -> Result<Rc<Response>, PluginError> {
        let part = match Probed::of(earlier) {
            Probed::Answered(response) if !response.body.truncated || !is_text(&response) => {
                return Ok(response);
            }
            Probed::Answered(response) => Some(response),
            Probed::Unknown => None,
            Probed::Unreachable => return Err(PluginError::Skipped("Nobody answers there.".to_owned())),
            Probed::Hidden => return Err(hidden()),
        };
        match (self.ask(ctx, target.url()).await, part) {
            (Ok(response), _) => Ok(Rc::new(response)),
            (Err(_), Some(part)) => Ok(part),
            (Err(error), None) if error.kind == FetchErrorKind::BlockedByCors => Err(hidden()),
            (Err(error), None) => Err(error.into()),
        }
    }

    async fn ask(&self, ctx: &Context, address: String) -> Result<Response, FetchError> {
        let request = Request::get(address)
            .timeout(self.timeout)
            // What drips is read so long.
            .body_timeout(Duration::from_secs(4))
            .max_body(MOST_BYTES);
        ctx.fetch(request).await
    }

    /// Asks for the scripts that the page loads from its own origin. Others' are others': they are named, not asked.
    async fn scripts(&self, ctx: &Context, page: &Response, leaks: &mut Leaks, texts: &mut Texts) {
        let mut asked = Vec::new();
        for address in addresses(page) {
            if !is_same_origin(&address, &page.url) {
                texts.skip(&address, "of another origin, which nobody asked to scan");
            } else if asked.len() >= MOST_SCRIPTS {
                texts.skip(&address, "there are too many");
            } else {
                asked.push(address);
            }
        }
        let began = ctx.now();
        let answer = async |address: String| {
            let spent = Duration::from_micros(ctx.now().micros_since(began));
            let answer = match spent < LONGEST {
                true => Some(self.ask(ctx, address.clone()).await),
                false => None,
            };
            (address, answer)
        };
        let mut answers = stream::iter(asked.into_iter().map(answer)).buffered(AT_ONCE);
        while let Some((address, answer)) = answers.next().await {
            match answer {
                Some(Ok(script)) if (200..300).contains(&script.status) => {
                    self.read(ctx, &script, leaks, texts).await;
                }
                Some(Ok(script)) => texts.skip(&address, &format!("status {}", script.status)),
                Some(Err(error)) => texts.skip(&address, &error.message),
                None => texts.skip(&address, "the others took too long"),
            }
        }
    }

    /// Searches one answer, in slices.
    async fn read(&self, ctx: &Context, answer: &Response, leaks: &mut Leaks, texts: &mut Texts) {
        if !is_text(answer) {
            return texts.skip(&answer.url, "no text");
        }
        let body = &answer.body;
        for found in self.found(ctx, &body.bytes).await {
            leaks.add(&self.search, &answer.url, &body.bytes, &found);
        }
        texts
            .searched
            .push((answer.url.clone(), body.bytes.len(), body.truncated));
    }

    async fn found(&self, ctx: &Context, text: &[u8]) -> Vec<Match> {
        let mut pass = self.search.begin();
        while self.search.advance(&mut pass, text, SLICE) {
            ctx.give_way().await;
        }
        self.search.end(pass)
    }

    fn outcome(&self, leaks: Leaks, texts: Texts) -> Outcome {
        let shown = |address: &str| without_secrets(&self.search, address);
        let searched: Vec<Value> = texts
            .searched
            .iter()
            .map(|(address, bytes, truncated)| json!({ "name": shown(address), "bytes": bytes, "truncated": truncated }))
            .collect();
        let skipped: Vec<Value> = texts
            .skipped
            .iter()
            .map(|(address, why)| json!({ "name": shown(address), "why": why }))
            .collect();
        let bytes: usize = texts.searched.iter().map(|(_, bytes, _)| bytes).sum();
        Outcome {
            summary: leaks.summary(texts.searched.len(), bytes),
            details: json!({
                "bytes": bytes,
                "rules": self.search.rules().iter().count(),
                "leaks": leaks.described(&self.search),
                "searched": searched,
                "skipped": skipped,
            }),
            findings: leaks.findings(&self.search),
            response: None,
        }
    }
}

fn hidden() -> PluginError {
    PluginError::Skipped("CORS keeps the page's content from this page.".to_owned())
}

/// What was searched, and what not.
#[derive(Default)]
struct Texts {
    /// Address, bytes, and whether there was more.
    searched: Vec<(String, usize, bool)>,
    /// Address, and why.
    skipped: Vec<(String, String)>,
}

impl Texts {
    fn skip(&mut self, address: &str, why: &str) {
        self.skipped.push((address.to_owned(), why.to_owned()));
    }
}

/// Whether an answer may be text. One that does not say is.
fn is_text(answer: &Response) -> bool {
    let kind = answer.header("content-type").value().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let binary = [
        "image/",
        "audio/",
        "video/",
        "font/",
        "application/octet-stream",
        "application/wasm",
        "application/pdf",
        "application/zip",
    ];
    kind.starts_with("image/svg") || !binary.iter().any(|prefix| kind.starts_with(prefix))
}

/// The scripts that a page loads, absolute, each once, in its order.
fn addresses(page: &Response) -> Vec<String> {
    let kind = page.header("content-type").value().unwrap_or("text/html");
    if !kind.to_ascii_lowercase().contains("html") {
        return Vec::new();
    }
    let text = page.body.text();
    let markup = Markup::read(&text);
    let Some(document) = markup.document() else {
        return Vec::new();
    };
    let mut known = Vec::new();
    for resource in document.scripts.iter().chain(&document.preloads) {
        let address = resource
            .address
            .as_deref()
            .and_then(|address| resolved(&page.url, address));
        if let Some(address) = address
            && !known.contains(&address)
        {
            known.push(address);
        }
    }
    known
}

fn is_same_origin(one: &str, other: &str) -> bool {
    let (one, other) = (Place::parse(one), Place::parse(other));
    !one.scheme.is_empty() && one == other
}
