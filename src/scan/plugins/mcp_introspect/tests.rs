#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use core::cell::Cell;

use super::*;
use crate::future::VirtualRuntime;
use crate::scan::fake::{Answer, FakeFetcher};
use crate::scan::fetch::{HeaderView, Method, Request};
use crate::scan::target::Entry;

const HANDSHAKE: &str = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":"harbour","version":"2"}}"#;

fn result(request: &Request, result: &str) -> String {
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked["id"])
}

fn method_of(request: &Request) -> String {
    let asked: Value = request
        .body
        .as_deref()
        .map(|body| serde_json::from_slice(body).unwrap())
        .unwrap_or_default();
    asked["method"].as_str().unwrap_or_default().to_owned()
}

fn json_answer(body: String) -> Answer {
    Answer::status(200)
        .header("content-type", "application/json")
        .body(body)
}

/// A server with a session, two pages of tools and one prompt.
fn harbour(request: &Request) -> Answer {
    let cursor = request
        .body
        .as_ref()
        .is_some_and(|body| String::from_utf8_lossy(body).contains("\"cursor\":\"2\""));
    match (request.method, method_of(request).as_str()) {
        (Method::Delete, _) => Answer::status(204),
        (_, "initialize") => json_answer(result(request, HANDSHAKE)).header("mcp-session-id", "s1"),
        (_, "notifications/initialized") => Answer::status(202),
        (_, "tools/list") if cursor => json_answer(result(request, r#"{"tools":[{"name":"b"}]}"#)),
        (_, "tools/list") => json_answer(result(
            request,
            r#"{"tools":[{"name":"a","secret":1}],"nextCursor":"2"}"#,
        )),
        (_, "prompts/list") => json_answer(result(request, r#"{"prompts":[{"name":"p"}]}"#)),
        _ => Answer::status(404),
    }
}

fn look_at(
    url: &str,
    script: impl Fn(&Request) -> Answer + 'static,
) -> (Result<Outcome, PluginError>, Vec<Request>) {
    let runtime = VirtualRuntime::new();
    let fake = FakeFetcher::new(Rc::new(runtime.clone()));
    fake.on("http", script);
    let target = Entry::parse(url).unwrap().targets().next().unwrap();
    let ctx = Context::new(Rc::new(fake.clone()), Rc::new(runtime.clone()));
    let plugin = McpIntrospect::new(Duration::from_secs(10));
    let outcome = runtime.block_on(plugin.run(&target, &ctx, &Earlier::default()));
    (outcome, fake.requests())
}

fn names(outcome: &Outcome, member: &str) -> Vec<String> {
    let entries = outcome.details[member].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

fn ids(outcome: &Outcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| finding.id.trim_start_matches("mcp-introspect/"))
        .collect()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .iter()
        .find(|(held, _)| held == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn a_session_is_opened_read_to_its_last_page_and_ended() {
    let (outcome, requests) = look_at("http://127.0.0.1:9/mcp", harbour);
    let outcome = outcome.unwrap();
    assert_eq!(
        (names(&outcome, "tools"), names(&outcome, "prompts")),
        (vec!["a".into(), "b".into()], vec!["p".into()])
    );
    assert_eq!(outcome.summary, "harbour: 2 tools, 0 resources, 1 prompts");
    assert_eq!(
        outcome.details["tools"][0],
        json!({ "name": "a" }),
        "only what the specification names is kept"
    );
    assert_eq!(
        (&outcome.details["session"], &outcome.details["transport"]),
        (&json!(true), &json!("json"))
    );
    let sent: Vec<_> = requests.iter().map(|r| (r.method.name(), method_of(r))).collect();
    let expected = [
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/list",
        "prompts/list",
    ];
    assert_eq!(sent[..5], expected.map(|method| ("POST", method.to_owned())));
    assert_eq!((sent.len(), sent[5].0), (6, "DELETE"));
    assert_eq!(
        (
            header(&requests[0], "mcp-session-id"),
            header(&requests[0], "mcp-protocol-version")
        ),
        (None, None)
    );
    for later in &requests[1..] {
        assert_eq!(header(later, "mcp-session-id"), Some("s1"));
        assert_eq!(header(later, "mcp-protocol-version"), Some("2025-06-18"));
    }
    assert_eq!(ids(&outcome), ["exposed", "no-authorization"]);
    assert_eq!(outcome.findings[0].evidence, "tools: a, b; prompts: p");
    assert_eq!(outcome.details["cut"], Value::Null);
}

#[test]
fn an_answer_may_come_as_events_after_others() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        if method_of(request) == "initialize" {
            let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
            let answer = result(request, HANDSHAKE);
            return Answer::status(200)
                .header("content-type", "text/event-stream; charset=utf-8")
                .body(format!(
                    ": hello\n\nid: 1\ndata:\n\ndata: {note}\r\n\r\ndata: {answer}\n\n"
                ));
        }
        harbour(request)
    });
    assert_eq!(names(&outcome.unwrap(), "tools"), ["a", "b"]);
}

#[test]
fn a_stream_that_ends_before_its_answer_is_taken_up_again() {
    let (outcome, requests) = look_at("http://127.0.0.1:9/mcp", |request| {
        let stream = |body: String| {
            Answer::status(200)
                .header("content-type", "text/event-stream")
                .body(body)
        };
        match (request.method, method_of(request).as_str()) {
            (_, "initialize") => stream("id: e1\nretry: 10\ndata:\n\n".to_owned()),
            (Method::Get, _) => stream(format!(
                "id: e2\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{HANDSHAKE}}}\n\n"
            )),
            _ => harbour(request),
        }
    });
    assert_eq!(names(&outcome.unwrap(), "tools"), ["a", "b"]);
    assert_eq!(header(&requests[1], "last-event-id"), Some("e1"));
}

#[test]
fn a_target_without_a_path_is_asked_at_mcp_too() {
    let (outcome, requests) = look_at("http://127.0.0.1:9/", |request| {
        if request.url.ends_with("/mcp") {
            harbour(request)
        } else {
            Answer::status(200).body("<html>")
        }
    });
    assert_eq!(outcome.unwrap().details["endpoint"], "http://127.0.0.1:9/mcp");
    assert_eq!(requests[0].url, "http://127.0.0.1:9/");
}

#[test]
fn what_is_no_mcp_server_is_skipped_with_the_reason() {
    let (outcome, requests) = look_at("http://a:9/page", |_| Answer::status(404).body("nope"));
    let expected = "No MCP server answers there: status 404 without a JSON-RPC answer.";
    assert_eq!(outcome.unwrap_err(), PluginError::Skipped(expected.to_owned()));
    assert_eq!(requests.len(), 1);
}

#[test]
fn a_server_that_wants_a_token_is_described_and_left_alone() {
    let (outcome, requests) = look_at("http://a:9/mcp", |_| {
        Answer::status(401).header("www-authenticate", "Bearer x")
    });
    let outcome = outcome.unwrap();
    assert_eq!(
        (ids(&outcome), requests.len()),
        (vec!["authorization", "plain-http"], 1)
    );
    assert_eq!(outcome.findings[0].evidence, "www-authenticate: Bearer x");
}

#[test]
fn a_server_that_refuses_to_begin_is_an_error_in_its_own_words() {
    let (outcome, _) = look_at("http://a:9/mcp", |_| {
        json_answer(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"out of order"}}"#.to_owned())
    });
    let expected = "The MCP server at http://a:9/mcp refused to begin: error -32603: out of order";
    assert_eq!(outcome.unwrap_err(), PluginError::Failed(expected.to_owned()));
}

#[test]
fn a_list_that_does_not_end_is_read_so_far_and_told_of() {
    let page = Cell::new(0);
    let (outcome, requests) = look_at("http://127.0.0.1:9/mcp", move |request| {
        if method_of(request) == "tools/list" {
            page.set(page.get() + 1);
            let n = page.get();
            return json_answer(result(
                request,
                &format!(r#"{{"tools":[{{"name":"t{n}"}}],"nextCursor":"{n}"}}"#),
            ));
        }
        harbour(request)
    });
    let outcome = outcome.unwrap();
    assert_eq!(names(&outcome, "tools").len(), MOST_PAGES);
    assert!(ids(&outcome).contains(&"endless-list") && requests.len() < MOST_PAGES + 10);
}

#[test]
fn a_list_that_fails_takes_no_other_with_it() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        match method_of(request).as_str() {
            "tools/list" => Answer::status(500),
            _ => harbour(request),
        }
    });
    let outcome = outcome.unwrap();
    assert_eq!(
        (names(&outcome, "tools").len(), names(&outcome, "prompts").len()),
        (0, 1)
    );
    assert!(ids(&outcome).contains(&"failing-list"));
}

#[test]
fn a_session_that_cors_hides_is_told_of() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        if method_of(request) == "initialize" {
            return json_answer(result(request, HANDSHAKE)).view(HeaderView::Cors);
        }
        Answer::status(400)
    });
    assert!(ids(&outcome.unwrap()).contains(&"session-hidden"));
}

#[test]
fn an_unknown_version_ends_the_conversation() {
    let (outcome, requests) = look_at("http://127.0.0.1:9/mcp", |request| {
        json_answer(result(request, &HANDSHAKE.replace("2025-06-18", "1999-01-01")))
    });
    assert_eq!(
        (ids(&outcome.unwrap()), requests.len()),
        (vec!["exposed", "unknown-version"], 1)
    );
}

#[test]
fn pages_everywhere_and_plain_http_are_findings_away_from_loopback() {
    let (outcome, _) = look_at("http://harbour.example/mcp", |request| {
        harbour(request).header("access-control-allow-origin", "*")
    });
    let outcome = outcome.unwrap();
    assert_eq!(
        ids(&outcome),
        ["exposed", "no-authorization", "plain-http", "any-page"]
    );
    assert_eq!(outcome.findings[1].severity, Severity::Medium);
}

#[test]
fn what_is_kept_of_a_server_that_never_stops_talking_is_bounded_and_says_so() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        let schema = format!(r#"{{"description":"{}"}}"#, "船".repeat(20_000));
        let tools: Vec<String> = (0..30)
            .map(|n| format!(r#"{{"name":"t{n}","inputSchema":{schema}}}"#))
            .collect();
        match method_of(request).as_str() {
            "initialize" => json_answer(result(
                request,
                &HANDSHAKE.replace(r#""prompts":{}"#, &format!(r#""x":"{}""#, "y".repeat(1 << 20))),
            )),
            "tools/list" => json_answer(result(request, &format!(r#"{{"tools":[{}]}}"#, tools.join(",")))),
            _ => harbour(request),
        }
    });
    let outcome = outcome.unwrap();
    let details = &outcome.details;
    let bytes = details.to_string().len();
    assert!((400_000..600_000).contains(&bytes), "{bytes}");
    assert_eq!(details["capabilities"], json!({}), "they alone were too long");
    assert_eq!(names(&outcome, "tools").len(), 30, "names are kept");
    let whole = |tool: &&Value| tool["inputSchema"].is_object();
    assert_eq!(
        details["tools"].as_array().unwrap().iter().filter(whole).count(),
        8
    );
    let sentence = "At least 23 parts of what it says are left out: 512 KiB of it all are kept, and 1000 entries of one list.";
    assert_eq!(details["cut"], sentence);
    let told = outcome
        .findings
        .iter()
        .find(|finding| finding.id == "mcp-introspect/long-record");
    assert_eq!(told.unwrap().evidence, sentence);
}

#[test]
fn of_a_list_that_is_too_long_the_first_entries_are_kept_and_the_rest_is_counted() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        let tools: Vec<String> = (0..1200).map(|n| format!(r#"{{"name":"t{n}"}}"#)).collect();
        match method_of(request).as_str() {
            "tools/list" => json_answer(result(request, &format!(r#"{{"tools":[{}]}}"#, tools.join(",")))),
            _ => harbour(request),
        }
    });
    let outcome = outcome.unwrap();
    assert_eq!(names(&outcome, "tools").len(), MOST_ENTRIES);
    assert!(
        outcome.details["cut"]
            .as_str()
            .unwrap()
            .starts_with("At least 200 parts ")
    );
}

#[test]
fn names_that_fill_the_record_leave_no_nameless_entries() {
    let (outcome, _) = look_at("http://127.0.0.1:9/mcp", |request| {
        let tools: Vec<String> = (0..1000)
            .map(|n| format!(r#"{{"name":"{n}{}"}}"#, "n".repeat(4000)))
            .collect();
        match method_of(request).as_str() {
            "tools/list" => json_answer(result(request, &format!(r#"{{"tools":[{}]}}"#, tools.join(",")))),
            _ => harbour(request),
        }
    });
    let outcome = outcome.unwrap();
    assert_eq!(names(&outcome, "tools").len(), 130);
    assert_eq!(names(&outcome, "prompts"), ["p"], "a short list has room still");
}
