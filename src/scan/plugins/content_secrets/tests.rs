use super::*;
use crate::future::VirtualRuntime;
use crate::scan::fake::{Answer, FakeFetcher};
use crate::scan::fetch::{Capabilities, HeaderView};
use crate::scan::finding::Severity;
use crate::scan::plugins::http_probe::HttpProbe;
use crate::scan::target::Entry;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Put together at run time, so that no search takes this file for a leak.
fn key() -> String {
    ["AKIA", "QYLPMN5HHHFPZAM2"].concat()
}

fn token() -> String {
    ["npm_", "a3Kd9PqL2mXv7Rt0Ws5Yz8Bn4Cj6FgHe1UiO"].concat()
}

fn html(body: impl Into<String>) -> Answer {
    Answer::status(200)
        .header("content-type", "text/html; charset=utf-8")
        .body(body.into().into_bytes())
}

fn js(body: impl Into<String>) -> Answer {
    Answer::status(200)
        .header("content-type", "text/javascript")
        .body(body.into().into_bytes())
}

/// Probes and searches `https://a.test/` on this network.
fn search(
    network: impl Fn(&FakeFetcher),
    capabilities: Capabilities,
) -> (Result<Outcome, PluginError>, Vec<String>) {
    let runtime = VirtualRuntime::new();
    let fake = FakeFetcher::new(Rc::new(runtime.clone())).with_capabilities(capabilities);
    network(&fake);
    let target = Entry::parse("https://a.test/").unwrap().targets().next().unwrap();
    let ctx = Context::new(Rc::new(fake.clone()), Rc::new(runtime.clone()));
    let plugin = ContentSecrets::new(Duration::from_secs(10)).unwrap();
    let outcome = runtime.block_on(async {
        let mut earlier = Earlier::default();
        let probe = HttpProbe::new(1, Duration::from_secs(10));
        let probed = probe.run(&target, &ctx, &earlier).await.unwrap();
        earlier.add("http-probe", Rc::new(probed));
        plugin.run(&target, &ctx, &earlier).await
    });
    let asked = fake
        .requests()
        .iter()
        .map(|request| request.url.clone())
        .collect();
    (outcome, asked)
}

fn found(network: impl Fn(&FakeFetcher)) -> (Outcome, Vec<String>) {
    let (outcome, asked) = search(network, Capabilities::SERVER);
    (outcome.unwrap(), asked)
}

fn ids(outcome: &Outcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| finding.id.trim_start_matches("content-secrets/"))
        .collect()
}

#[test]
fn a_page_that_was_probed_is_searched_without_asking_again() {
    let (outcome, asked) = found(|network| {
        network.on("https://a.test/", |_| {
            html(format!("<p>é</p>\n<script>const id = \"{}\"</script>", key()))
        });
    });
    assert_eq!(asked, ["https://a.test/"]);
    assert_eq!(ids(&outcome), ["aws-access-key-id"]);
    assert_eq!(outcome.findings[0].severity, Severity::High);
    assert_eq!(
        outcome.findings[0].evidence,
        "AKIA… (20 characters) at https://a.test/ line 2 column 21"
    );
    assert_eq!(outcome.summary, "1 credential in 1 text, 1 KB");
}

#[test]
fn nothing_that_is_told_holds_a_credential_not_even_an_address() {
    let (outcome, _) = found(|network| {
        network.on("https://a.test/", |_| {
            html(format!("<script src=\"/a.js?id={}\"></script>{}", key(), token()))
        });
        network.on("https://a.test/a.js", |_| js(format!("login('{}')", token())));
    });
    let told = format!("{}{}", serde_json::to_string(&outcome).unwrap(), outcome.summary);
    assert!(!told.contains(&key()) && !told.contains(&token()), "{told}");
    assert!(
        !told.contains(&key()[8..]) && !told.contains(&token()[8..]),
        "{told}"
    );
    assert!(told.contains("a.js?id=AKIA… (20 characters)"), "{told}");
}

#[test]
fn scripts_of_the_pages_own_origin_are_searched_each_once_and_others_only_named() {
    let (outcome, asked) = found(|network| {
        network.on("https://a.test/", |_| {
            html(
                "<script src=app.js></script><script src=/app.js></script><link rel=modulepreload href=/chunk.js>\
                 <script src=https://cdn.test/x.js></script><script src=http://a.test/y.js></script><script src=/gone.js></script>",
            )
        });
        network.on("https://a.test/app.js", |_| js("let a;"));
        network.on("https://a.test/chunk.js", |_| js(format!("k = '{}'", key())));
        network.on("https://a.test/gone.js", |_| Answer::status(404).body(key()));
    });
    assert_eq!(
        asked,
        [
            "https://a.test/",
            "https://a.test/app.js",
            "https://a.test/gone.js",
            "https://a.test/chunk.js"
        ]
    );
    assert_eq!(
        ids(&outcome),
        ["aws-access-key-id"],
        "what is not there is not searched"
    );
    let names = |list: &str| -> Vec<String> {
        let list = outcome.details[list].as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("searched").len(), 3);
    assert_eq!(
        names("skipped"),
        [
            "https://cdn.test/x.js",
            "http://a.test/y.js",
            "https://a.test/gone.js"
        ]
    );
}

#[test]
fn the_same_credential_is_one_finding_with_its_places() {
    let (outcome, _) = found(|network| {
        let line = format!("'{}'\n", key());
        network.on("https://a.test/", move |_| html(line.repeat(9)));
    });
    assert_eq!(outcome.findings.len(), 1);
    let evidence = &outcome.findings[0].evidence;
    assert!(
        evidence.ends_with("line 5 column 2, and 4 times more"),
        "{evidence}"
    );
    assert_eq!(outcome.details["leaks"][0]["times"], 9);
}

#[test]
fn a_checksum_that_does_not_fit_is_no_alarm() {
    let (outcome, _) = found(|network| network.on("https://a.test/", |_| html(token())));
    assert_eq!(
        (ids(&outcome), outcome.findings[0].severity),
        (vec!["npm-token"], Severity::Low)
    );
    assert!(outcome.findings[0].title.contains("most likely made up"));
}

#[test]
fn a_page_that_the_probe_has_read_in_part_is_read_again_and_whole() {
    let (outcome, asked) = found(|network| {
        network.on("https://a.test/", |_| {
            html(format!("{}'{}'", " ".repeat(300 << 10), key()))
        });
    });
    assert_eq!((asked.len(), ids(&outcome).len()), (2, 1));
}

#[test]
fn a_page_of_credentials_is_told_in_part() {
    let (outcome, _) = found(|network| {
        let line = |n: usize| format!("'{}{:03}'\n", &key()[..17], n).replace(['0', '1', '8', '9'], "7");
        let page: String = (0..1000).map(line).collect();
        network.on("https://a.test/", move |_| html(page.clone()));
    });
    assert!(outcome.findings.len() <= 101);
    assert_eq!(ids(&outcome).last(), Some(&"more"));
}

#[test]
fn slow_scripts_cost_what_they_have_and_no_more() {
    let (outcome, asked) = found(|network| {
        let page: String = (0..20)
            .map(|n| format!("<script src=/{n}.js></script>"))
            .collect();
        let page = format!("{page}'{}'", key());
        network.on("https://a.test/", move |_| html(page.clone()));
        for n in 0..20 {
            network.on(format!("https://a.test/{n}.js"), |_| {
                js("").after(Duration::from_secs(9))
            });
        }
    });
    assert_eq!(ids(&outcome), ["aws-access-key-id"]);
    assert!(asked.len() <= 1 + 2 * AT_ONCE + 1, "{}", asked.len());
    assert_eq!(outcome.details["skipped"][0]["why"], "the others took too long");
}

#[test]
fn pictures_are_not_searched_and_json_is() {
    let (outcome, _) = found(|network| {
        network.on("https://a.test/", |_| {
            Answer::status(200)
                .header("content-type", "image/png")
                .body(key())
        });
    });
    assert_eq!(outcome.findings, []);
    let (outcome, _) = found(|network| {
        network.on("https://a.test/", |_| {
            Answer::status(200)
                .header("content-type", "application/json")
                .body(format!("{{\"a\":\"{}\"}}", key()))
        });
    });
    assert_eq!(ids(&outcome).len(), 1);
}

#[test]
fn where_nobody_answers_or_cors_hides_it_there_is_nothing_to_search() {
    let (outcome, _) = search(|_| {}, Capabilities::SERVER);
    assert_eq!(
        outcome.unwrap_err(),
        PluginError::Skipped("Nobody answers there.".to_owned())
    );
    let (outcome, _) = search(
        |network| {
            network.on("https://a.test/", |request| match request.visibility {
                crate::scan::fetch::Visibility::Readable => Answer::error(FetchErrorKind::Network, "failed"),
                crate::scan::fetch::Visibility::OpaqueIsEnough => Answer::status(0).view(HeaderView::Opaque),
            });
        },
        Capabilities::BROWSER,
    );
    assert!(matches!(outcome.unwrap_err(), PluginError::Skipped(why) if why.contains("CORS")));
}
