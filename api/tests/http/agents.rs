//! Agents.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Answer, Server};

#[tokio::test]
async fn an_agent_lives_from_its_registration_to_its_retirement() {
    let server = Server::start().await;
    let body =
        json!({"name": "a", "runtime": "command", "command": ["/bin/true"], "max_cost_usd": 0.25});
    let made = server.post("/api/agents", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(made.header("location"), Some("/api/agents/a"));
    let agent = made.json();
    assert_eq!((&agent["status"], &agent["max_cost_usd"]), (&json!("active"), &json!(0.25)));
    assert_eq!((&agent["queue_limit"], &agent["grace_s"]), (&json!(50), &json!(5)));

    let twice = server.post("/api/agents", &body).await;
    assert_eq!(twice.problem(), (409, "agent_exists".to_owned(), Some("name".to_owned())));
    assert_says_more(&twice);

    let body = json!({"runtime": "command", "command": ["/bin/false"], "timeout_s": 60});
    let changed = server.call(Method::PUT, "/api/agents/a", body.to_string()).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json()["timeout_s"], 60);
    assert_eq!(changed.json()["max_cost_usd"], 0.25, "what is not given stays");
    let other = json!({"name": "b", "runtime": "demo"}).to_string();
    let renamed = server.call(Method::PUT, "/api/agents/a", other).await;
    assert_eq!(renamed.problem(), (422, "invalid_field".to_owned(), Some("name".to_owned())));

    assert_eq!(server.post("/api/agents/a/pause", &json!({})).await.json()["status"], "paused");
    let (id, position) = server.submit("a", "x").await;
    let capacity = server.get(&format!("/api/agents/a/capacity?wait_for={position}")).await.json();
    assert_eq!(capacity["queue"][0]["execution_id"], id.as_str());
    assert_eq!(capacity["queue"][0]["reason"], "agent_paused");
    assert_eq!((&capacity["slots"], &capacity["pending"]), (&json!([]), &json!(1)));

    let retired = server.call(Method::DELETE, "/api/agents/a", "").await;
    assert_eq!(retired.json()["status"], "retired", "{}", retired.text);
    let task = json!({"message": "x", "async_mode": true});
    assert_eq!(server.post("/api/agents/a/task", &task).await.problem().1, "agent_retired");
    assert_eq!(server.post("/api/agents/a/resume", &json!({})).await.problem().1, "agent_retired");
    let none = server.post("/api/agents/none/pause", &json!({})).await;
    assert_eq!(none.problem().1, "agent_not_found");
    assert_says_more(&none);
    assert_eq!(server.get("/api/agents/none").await.problem().1, "agent_not_found");
}

#[tokio::test]
async fn an_agents_answer_never_shows_what_looks_like_a_secret() {
    let server = Server::start().await;
    let secret = "ghp_012345678901234567890123456789abcdef";
    let body = json!({
        "name": "a", "runtime": "command", "command": ["/bin/echo", format!("--token={secret}")],
        "env": {"COLOR": "red"},
        "env_from": {"API_KEY": {"file": "/run/secrets/key"}},
    });
    let made = server.post("/api/agents", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(!made.text.contains(secret), "{}", made.text);
    assert_eq!(made.json()["env"]["COLOR"], "red");
    assert_eq!(made.json()["env_from"]["API_KEY"]["file"], "/run/secrets/key");
    assert!(!server.get("/api/agents").await.text.contains(secret));
    let mut body = body;
    body["name"] = json!("b");
    body["env"] = json!({"GREETING": secret});
    let refused = server.post("/api/agents", &body).await;
    assert_eq!(refused.problem(), (422, "invalid_field".to_owned(), Some("env".to_owned())));
    assert!(!refused.text.contains(secret), "{}", refused.text);
}

/// A problem's detail is more than its title in other letters.
fn assert_says_more(answer: &Answer) {
    let json = answer.json();
    let text = |name: &str| json[name].as_str().expect("a text").to_lowercase();
    assert!(!text("detail").contains(&text("title")), "{}", answer.text);
}

#[tokio::test]
async fn a_change_of_an_agent_leaves_what_it_does_not_name() {
    let server = Server::start().await;
    let body = json!({
        "name": "a", "runtime": "command", "command": ["/bin/true", "x"], "prompt": "stdin",
        "env": {"COLOR": "red"}, "env_from": {"API_KEY": {"variable": "THE_KEY"}},
        "env_allow": ["LANG"], "models": ["one", "two"], "allowed_tools": ["Read"],
        "allow_system_prompt": true, "may_call": ["b"], "max_parallel_tasks": 7, "timeout_s": 11,
        "queue_limit": 13, "grace_s": 2, "max_cost_usd": 0.000_000_003, "max_turns": 5,
        "memory_max_bytes": 33_554_432, "cwd": "/tmp",
    });
    let before = server.post("/api/agents", &body).await;
    assert_eq!(before.status, StatusCode::CREATED, "{}", before.text);
    let put = async |body: serde_json::Value| {
        server.call(Method::PUT, "/api/agents/a", body.to_string()).await
    };
    let settings = |answer: &Answer| {
        let mut json = answer.json();
        for moving in ["position", "changed_at"] {
            json[moving] = json!(null);
        }
        json
    };
    assert_eq!(settings(&put(json!({})).await), settings(&before));
    let mut expected = settings(&before);
    expected["timeout_s"] = json!(12);
    assert_eq!(settings(&put(json!({"name": "a", "timeout_s": 12})).await), expected);
    let reset = json!({"cwd": null, "max_cost_usd": null, "grace_s": null, "allowed_tools": null});
    for (field, default) in [
        ("cwd", json!(null)),
        ("max_cost_usd", json!(null)),
        ("grace_s", json!(5)),
        ("allowed_tools", json!(null)),
    ] {
        expected[field] = default;
    }
    assert_eq!(settings(&put(reset).await), expected);
    for (field, value) in [("command", json!(null)), ("timeout_s", json!(0)), ("colour", json!(1))]
    {
        let refused = put(json!({ field: value })).await;
        assert_eq!((refused.problem().0, refused.problem().2.as_deref()), (422, Some(field)));
    }
    let none = server.call(Method::PUT, "/api/agents/none", "{}").await;
    assert_eq!(none.problem().1, "agent_not_found");
}

#[tokio::test]
async fn only_a_command_says_how_it_is_given_its_message() {
    let server = Server::start().await;
    for (name, runtime, prompt) in [
        ("a", "command", json!("argument")),
        ("b", "demo", json!(null)),
        ("c", "claude_code", json!(null)),
        ("d", "codex", json!(null)),
        ("e", "gemini", json!(null)),
        ("f", "opencode", json!(null)),
    ] {
        let mut body = json!({"name": name, "runtime": runtime});
        if runtime == "command" {
            body["command"] = json!(["/bin/true"]);
        }
        let made = server.post("/api/agents", &body).await;
        assert_eq!(made.json()["prompt"], prompt, "{}", made.text);
    }
}
