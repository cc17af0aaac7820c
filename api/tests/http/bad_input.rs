//! What can't be as it is: refused by name, and nothing stored.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Server};

/// A task with this field beside a message.
fn task(field: &str, value: Value) -> Value {
    let mut body = json!({"message": "x", "async_mode": true});
    body[field] = value;
    body
}

fn agent(field: &str, value: Value) -> Value {
    let mut body = json!({"name": "fresh", "runtime": "command", "command": ["/bin/true"]});
    body[field] = value;
    body
}

#[tokio::test]
async fn every_field_of_a_task_is_refused_by_its_name() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let head = server.head().await;
    let long = "x".repeat(256 * 1024 + 1);
    let id = "018f0000-0000-7000-8000-000000000000";
    let cases: Vec<(&str, Value)> = vec![
        ("message", json!("")),
        ("message", json!(7)),
        ("message", json!(null)),
        ("message", json!(long)),
        ("message", json!("x".repeat(128_001))),
        ("message", json!("nul \u{0}")),
        ("message", json!("escape \u{1b}[2J")),
        ("async_mode", json!("yes")),
        ("async_mode", json!(null)),
        ("inject_result", json!(1)),
        ("inject_result", json!(true)),
        ("chat_session_id", json!("no uuid")),
        ("chat_session_id", json!(id)),
        ("model", json!(["a"])),
        ("model", json!("gpt-unknown")),
        ("model", json!("--dangerous")),
        ("timeout_s", json!(-1)),
        ("timeout_s", json!(0)),
        ("timeout_s", json!(901)),
        ("timeout_s", json!(1.5)),
        ("timeout_s", json!("60")),
        ("max_cost_usd", json!("1")),
        ("max_cost_usd", json!(0)),
        ("max_cost_usd", json!(-1)),
        ("max_cost_usd", json!(0.000_000_000_1)),
        ("max_cost_usd", json!(1e300)),
        ("allowed_tools", json!("Bash")),
        ("allowed_tools", json!(["Bash"])),
        ("allowed_tools", json!(["-x"])),
        ("allowed_tools", json!(vec!["t"; 257])),
        ("system_prompt", json!(3)),
        ("system_prompt", json!("be good")),
        ("max_turns", json!(0)),
        ("max_turns", json!(10_001)),
        ("max_turns", json!(5_000_000_000_u64)),
        ("resume_session_id", json!("../../etc")),
        ("resume_session_id", json!("-x")),
        ("resume_session_id", json!("abc")),
        ("parent_execution_id", json!("1")),
        ("parent_execution_id", json!(id)),
        ("unknown", json!(1)),
        ("triggered_by", json!("schedule")),
    ];
    for (field, value) in cases {
        let answer = server.post("/api/agents/a/task", &task(field, value.clone())).await;
        let shown = value.to_string().chars().take(40).collect::<String>();
        assert!(answer.status.is_client_error(), "{field} {shown}: {}", answer.text);
        let (_, code, named) = answer.problem();
        let named = named.unwrap_or_default();
        assert!(
            named.starts_with(field),
            "{field} {shown} is {code} of {named:?}: {}",
            answer.text
        );
    }
    let missing = server.post("/api/agents/a/task", &json!({})).await;
    assert_eq!(missing.problem(), (422, "message_required".to_owned(), Some("message".to_owned())));
    let empty = server.call(Method::POST, "/api/agents/a/task", "").await;
    assert_eq!(empty.problem().1, "message_required", "an empty body is an empty object");
    let too_long =
        server.post("/api/agents/a/task", &task("message", json!("x".repeat(128_001)))).await;
    assert_eq!(too_long.problem().1, "message_too_long_for_argument");
    assert_eq!(server.head().await, head, "something was stored");
}

#[tokio::test]
async fn every_field_of_an_agent_is_refused_by_its_name() {
    let server = Server::start().await;
    let head = server.head().await;
    let many: Vec<String> = (0..257).map(|n| format!("W{n}")).collect();
    let map =
        |n: usize| (0..n).map(|i| (format!("V{i}"), json!("x"))).collect::<serde_json::Map<_, _>>();
    let cases: Vec<(&str, Value)> = vec![
        ("name", json!("../up")),
        ("name", json!("Upper")),
        ("name", json!("x".repeat(64))),
        ("name", json!("")),
        ("name", json!(null)),
        ("name", json!(1)),
        ("runtime", json!("bash")),
        ("runtime", json!(null)),
        ("command", json!("/bin/true")),
        ("command", json!([])),
        ("command", json!([""])),
        ("command", json!(["/bin/true", "a\u{0}b"])),
        ("command", json!(["x".repeat(8 * 1024 + 1)])),
        ("command", json!(many)),
        ("cwd", json!("relative")),
        ("cwd", json!("")),
        ("cwd", json!(5)),
        ("env", json!([])),
        ("env", json!({"API_KEY": "secret"})),
        ("env", json!({"1X": "x"})),
        ("env", json!({"EXECUTION_LEDGER_KEY": "x"})),
        ("env", Value::Object(map(257))),
        ("env_from", json!({"X": "plain"})),
        ("env_from", json!({"X": {"file": "relative"}})),
        ("env_from", json!({"X": {"shell": "id"}})),
        ("env_allow", json!(["BAD-NAME"])),
        ("env_allow", json!("HOME")),
        ("run_as", json!("no-such-user-here")),
        ("run_as", json!("")),
        ("prompt", json!("file")),
        ("models", json!("opus")),
        ("models", json!(["-m"])),
        ("allowed_tools", json!([1])),
        ("allow_system_prompt", json!("yes")),
        ("may_call", json!(["../x"])),
        ("max_parallel_tasks", json!(0)),
        ("max_parallel_tasks", json!(1_001)),
        ("max_parallel_tasks", json!("3")),
        ("timeout_s", json!(0)),
        ("timeout_s", json!(7 * 24 * 3600 + 1)),
        ("queue_limit", json!(1_000_001)),
        ("queue_limit", json!(-1)),
        ("grace_s", json!(301)),
        ("max_cost_usd", json!(0)),
        ("max_cost_usd", json!("1")),
        ("max_turns", json!(0)),
        ("max_turns", json!(10_001)),
        ("memory_max_bytes", json!(1)),
        ("max_cost_nano_usd", json!(1)),
        ("unknown", json!(null)),
    ];
    for (field, value) in cases {
        let answer = server.post("/api/agents", &agent(field, value.clone())).await;
        let shown = value.to_string().chars().take(40).collect::<String>();
        assert!(answer.status.is_client_error(), "{field} {shown}: {}", answer.text);
        let named = answer.problem().2.unwrap_or_default();
        assert!(named.starts_with(field), "{field} {shown}: {}", answer.text);
    }
    assert_eq!(server.head().await, head, "something was stored");
}

#[tokio::test]
async fn unknown_parameters_and_values_are_refused_by_their_name() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let long = "x".repeat(2_000);
    for (path, code, field) in [
        ("/api/executions?colour=red", "unknown_parameter", "colour"),
        ("/api/executions?status=done", "invalid_parameter", "status"),
        ("/api/executions?status=failed&status=failed", "invalid_parameter", "status"),
        ("/api/executions?triggered_by=me", "invalid_parameter", "triggered_by"),
        ("/api/executions?agent=../x", "invalid_parameter", "agent"),
        ("/api/executions?from=yesterday", "invalid_parameter", "from"),
        ("/api/executions?to=2026-13-01T00:00:00Z", "invalid_parameter", "to"),
        ("/api/executions?min_cost=NaN", "invalid_parameter", "min_cost"),
        ("/api/executions?min_cost=much", "invalid_parameter", "min_cost"),
        ("/api/executions?limit=0", "invalid_parameter", "limit"),
        ("/api/executions?limit=201", "invalid_parameter", "limit"),
        ("/api/executions?limit=ten", "invalid_parameter", "limit"),
        ("/api/executions?sort=agent", "invalid_parameter", "sort"),
        ("/api/executions?cursor=AAAA", "invalid_cursor", "cursor"),
        ("/api/executions?wait_for=soon", "invalid_parameter", "wait_for"),
        ("/api/executions?as_of=then", "invalid_parameter", "as_of"),
        (&format!("/api/executions?q={long}"), "invalid_parameter", "q"),
        ("/api/agents/a/executions?agent=b", "invalid_parameter", "agent"),
        ("/api/executions/stats?limit=3", "unknown_parameter", "limit"),
        ("/api/executions/timeline?bucket=week", "invalid_parameter", "bucket"),
        ("/api/activities?type=nap", "invalid_parameter", "type"),
        ("/api/activities?state=tired", "invalid_parameter", "state"),
        ("/api/costs?by=moon", "invalid_parameter", "by"),
        ("/api/agents?limit=1", "unknown_parameter", "limit"),
        ("/api/agents/..%2Fx", "invalid_parameter", "name"),
        ("/api/agents/%FF", "invalid_parameter", "name"),
        ("/api/agents/A", "invalid_parameter", "name"),
        ("/api/agents/a/executions/17", "invalid_parameter", "id"),
        ("/api/agents/a/executions/..%2F..%2Fetc%2Fpasswd/log", "invalid_parameter", "id"),
        ("/api/events?type=execution.unknown", "invalid_parameter", "type"),
        ("/api/events?limit=1001", "invalid_parameter", "limit"),
        ("/api/events?after=tail", "invalid_parameter", "after"),
        ("/ws?last_event_id=x", "invalid_parameter", "last_event_id"),
    ] {
        let (status, got, named) = server.get(path).await.problem();
        assert_eq!((status, got.as_str(), named.as_deref()), (422, code, Some(field)), "{path}");
    }
}

#[tokio::test]
async fn a_changed_cursor_or_one_of_another_list_is_refused() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut last = String::new();
    for _ in 0..3 {
        last = server.submit("a", "x").await.1;
    }
    let page = server.get(&format!("/api/executions?limit=1&wait_for={last}")).await.json();
    let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(
        server.get(&format!("/api/executions?limit=1&cursor={cursor}")).await.status,
        StatusCode::OK
    );
    let other = server.get(&format!("/api/executions?limit=1&status=failed&cursor={cursor}")).await;
    assert_eq!(other.problem().1, "invalid_cursor");
    for index in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        let answer = server.get(&format!("/api/executions?limit=1&cursor={changed}")).await;
        // A changed place in the list can't be told from a true one; it only pages elsewhere.
        let harmless = answer.status == StatusCode::OK;
        let refused =
            answer.status.is_client_error() && answer.problem().2.as_deref() == Some("cursor");
        assert!(harmless || refused, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let head = server.head().await;
    for body in
        ["{", "[]", "7", "null", "{\"message\":\"x\"}{}", "\u{feff}{}", "{\"message\":\"\\ud800\"}"]
    {
        let answer = server.call(Method::POST, "/api/agents/a/task", body).await;
        assert_eq!(answer.problem(), (400, "malformed_json".to_owned(), None), "{body}");
    }
    let request = Server::request(Method::POST, "/api/agents/a/task")
        .header("content-type", "text/plain")
        .body(axum::body::Body::from("{\"message\":\"x\"}"));
    let answer = server.send(request.expect("a request")).await;
    let field = Some("Content-Type".to_owned());
    assert_eq!(answer.problem(), (415, "unsupported_media_type".to_owned(), field));
    let answer = server.post("/api/agents/a/pause", &json!({"really": true})).await;
    assert_eq!(answer.problem(), (422, "unknown_field".to_owned(), Some("really".to_owned())));
    assert_eq!(server.head().await, head, "something was stored");
}

#[tokio::test]
async fn a_refusal_speaks_of_no_types_and_of_no_parser() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let detail = |answer: &Answer, field: &str| {
        assert_eq!(answer.status.as_u16(), 422, "{}", answer.text);
        assert_eq!(answer.problem().2.as_deref(), Some(field), "{}", answer.text);
        answer.json()["detail"].as_str().expect("a text").to_owned()
    };
    let number = "it must be a whole number from 0";
    let id = "018f0000-0000-7000-8000-000000000000";
    for (path, field, says) in [
        ("/api/executions?min_cost=NaN", "min_cost", "it must be a number of dollars from 0"),
        ("/api/executions?min_cost=-1", "min_cost", "it must be a number of dollars from 0"),
        ("/api/executions?min_cost=x", "min_cost", "it must be a number of dollars from 0"),
        ("/api/agents/a/executions/xyz", "id", "an execution's id is a UUID such as"),
        (&format!("/api/agents/a/executions/{id}/log?after_seq=x"), "after_seq", number),
    ] {
        let said = detail(&server.get(path).await, field);
        assert!(said.starts_with(says), "{path}: {said}");
    }
    for (field, value, says) in [
        ("timeout_s", json!("x"), number),
        ("max_cost_usd", json!("x"), "it must be a number"),
        ("message", json!(1), "it must be a text"),
        ("async_mode", json!(1), "it must be true or false"),
        ("parent_execution_id", json!("x"), "it must be a UUID such as"),
        ("colour", json!(1), "there is no such field; there are: message, async_mode"),
    ] {
        let said = detail(&server.post("/api/agents/a/task", &task(field, value)).await, field);
        assert!(said.starts_with(says), "{field}: {said}");
    }
    for (field, value, says) in [
        (
            "runtime",
            json!("bash"),
            "it must be one of: command, claude_code, codex, gemini, opencode, demo",
        ),
        ("runtime", json!(7), "its value is of another kind"),
        ("env_from.X", json!("plain"), "it must be an object"),
        ("env_from.X", json!({"file": "/a", "variable": "B"}), "a secret comes from either"),
        (
            "env_from.X.shell",
            json!({"shell": "id"}),
            "there is no such field; there are: file, variable",
        ),
    ] {
        let body = match field.split_once('.') {
            None => agent(field, value),
            Some((outer, _)) => agent(outer, json!({ "X": value })),
        };
        let said = detail(&server.post("/api/agents", &body).await, field);
        assert!(said.starts_with(says), "{field}: {said}");
    }
}

#[tokio::test]
async fn a_search_for_signs_alone_finds_nothing_and_an_empty_one_is_none() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (_, position) = server.submit("a", "x").await;
    for (q, found) in [("%21%3F", 0), ("%F0%9F%8E%89", 0), ("*", 0), ("", 1), ("%20", 1)] {
        let answer = server.get(&format!("/api/executions?q={q}&wait_for={position}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json()["executions"].as_array().map(Vec::len), Some(found), "{q}");
        let stats = server.get(&format!("/api/executions/stats?q={q}")).await.json();
        assert_eq!(stats["total"], found, "{q}");
    }
}
