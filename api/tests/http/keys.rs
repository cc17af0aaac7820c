//! Who may do what.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use execution_ledger_api::{Options, description};
use execution_ledger_domain::execution::Execution;
use execution_ledger_domain::{Actor, ClaimId, ExecutionId, StreamName};
use execution_ledger_store::Context;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, KEY, Server};

const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Whoever has no key yet gets a session here, with a token or a key in the body.
const SIGN_IN: &str = "/api/sign-in";
/// What is sold is shown to whoever pays, by other means than a key.
const SHOP: &str = "/api/paid/";

async fn with_key(server: &Server, key: Option<&str>, method: Method, path: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    server.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn a_stranger_learns_nothing_from_any_path() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let description = serde_json::to_value(description()).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let mut answers = Vec::new();
    let needs_key =
        |path: &str| !OPEN.contains(&path) && path != SIGN_IN && !path.starts_with(SHOP);
    for (path, methods) in paths.iter().filter(|(path, _)| needs_key(path)) {
        let id = Uuid::nil().to_string();
        let path = path.replace("{name}", "a").replace("{id}", &id);
        for method in methods.as_object().expect("methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            answers.push(with_key(&server, None, method.clone(), &path).await);
            answers.push(with_key(&server, Some("elk_wrong"), method, &path).await);
        }
    }
    answers.push(with_key(&server, None, Method::GET, "/nothing/here").await);
    answers.push(with_key(&server, None, Method::PATCH, "/api/agents").await);
    answers.push(with_key(&server, Some("elr_forged"), Method::GET, "/api/agents").await);
    assert!(answers.len() > 40);
    let limited = answers.iter().position(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.is_none_or(|first| first >= 60), "refused too early");
    for answer in answers {
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{}", answer.text);
        assert!(matches!(answer.code().as_str(), "unauthorized" | "too_many_failures"));
    }
    for path in OPEN {
        assert_eq!(with_key(&server, None, Method::GET, path).await.status, StatusCode::OK);
    }
    // Whoever has the key is not locked out by those who don't.
    assert_eq!(
        with_key(&server, Some(KEY), Method::GET, "/api/agents").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn metrics_need_a_key_unless_the_settings_say_otherwise() {
    let server = Server::start().await;
    assert_eq!(
        with_key(&server, None, Method::GET, "/metrics").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(server.get("/metrics").await.status, StatusCode::OK);
    let open = Server::with(Options { metrics_without_key: true, ..Options::default() }).await;
    assert_eq!(with_key(&open, None, Method::GET, "/metrics").await.status, StatusCode::OK);
}

/// Takes a slot for a waiting execution, as the process manager does, and makes its run's token.
pub async fn run_token(server: &Server, id: &str) -> String {
    let execution: ExecutionId = id.parse().expect("an id");
    let claim = ClaimId(Uuid::now_v7());
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: Some(id.to_owned()),
        causation_id: Some(id.to_owned()),
        traceparent: None,
    };
    let start = super::streams::start_of(claim, server.ledger.now());
    let stream = StreamName::execution(execution);
    let done =
        server.ledger.execute::<Execution>(&stream, start, &[], &context).await.expect("a start");
    // The desk has seen the start once it has seen a change of an agent after it.
    server.paused_agent(&format!("after-{}", done.position.number())).await;
    server.secret.token(execution, claim)
}

#[tokio::test]
async fn a_run_sees_and_does_only_what_its_agent_may() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (own, _) = server.submit("a", "mine").await;
    let (foreign, _) = server.submit("b", "not mine").await;
    let key = run_token(&server, &own).await;
    let get = async |path: &str| with_key(&server, Some(&key), Method::GET, path).await;

    assert_eq!(get(&format!("/api/agents/a/executions/{own}")).await.status, StatusCode::OK);
    for path in ["", "/log", "/stream"] {
        let answer = get(&format!("/api/agents/b/executions/{foreign}{path}")).await;
        assert_eq!(answer.problem().1, "execution_not_found", "{path}");
    }
    let list = get("/api/executions").await.json();
    let agents: Vec<_> =
        list["executions"].as_array().expect("rows").iter().map(|r| &r["agent_name"]).collect();
    assert_eq!(agents, ["a"]);
    for path in ["/api/events", "/metrics"] {
        assert_eq!(get(path).await.problem(), (403, "forbidden".to_owned(), None), "{path}");
    }
    let agent = get("/api/agents/a").await.json();
    assert_eq!((&agent["name"], &agent["command"]), (&json!("a"), &json!(null)));

    let post = async |path: &str, body: serde_json::Value, source: Option<&str>| {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"));
        if let Some(source) = source {
            request = request.header("x-source-agent", source);
        }
        server.send(request.body(Body::from(body.to_string())).expect("a request")).await
    };
    let task = json!({"message": "more", "async_mode": true});
    let refused = post("/api/agents/b/task", task.clone(), None).await;
    assert_eq!(refused.problem().1, "agent_not_callable");
    let terminate = format!("/api/agents/b/executions/{foreign}/terminate");
    assert_eq!(post(&terminate, json!({}), None).await.problem().1, "execution_not_found");
    let agent = json!({"name": "c", "runtime": "demo"});
    assert_eq!(post("/api/agents", agent, None).await.problem().1, "forbidden");
    let mismatch = post("/api/agents/a/task", task.clone(), Some("b")).await;
    assert_eq!(mismatch.problem().1, "source_agent_mismatch");
    let child = post("/api/agents/a/task", task, Some("a")).await;
    assert_eq!(child.status, StatusCode::ACCEPTED, "{}", child.text);
    let link = child.json()["links"]["self"].as_str().expect("a link").to_owned();
    let record = get(&link).await.json();
    assert_eq!(record["triggered_by"], "self_task");
    assert_eq!(record["parent_execution_id"], own.as_str());
    let parent = get(&format!("/api/agents/a/executions/{own}")).await.json();
    let called = json!([{"execution_id": record["execution_id"], "agent_name": "a"}]);
    assert_eq!(parent["children"], called);
    assert_eq!(record["waiting"]["slot_holders"][0]["execution_id"], own.as_str());
}

#[tokio::test]
async fn a_run_for_one_user_sees_nothing_of_what_its_agent_does_for_another() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (_, ada) = server.issue(&json!({"name": "ada", "role": "user"})).await;
    let (_, bob) = server.issue(&json!({"name": "bob", "role": "user"})).await;
    let task = json!({"message": "x", "async_mode": true});
    let submit = async |key: &str| {
        let answer = server.call_as(key, Method::POST, "/api/agents/a/task", &task).await;
        answer.json()["execution_id"].as_str().expect("an id").to_owned()
    };
    let (own, adas) = (submit(&ada).await, submit(&ada).await);
    let (bobs, ended) = (submit(&bob).await, submit(&bob).await);
    let path = |id: &str, rest: &str| format!("/api/agents/a/executions/{id}{rest}");
    let stop = path(&ended, "/terminate");
    let stopped = server.call_as(&bob, Method::POST, &stop, &json!({})).await;
    assert_eq!(stopped.json()["status"], "cancelled", "{}", stopped.text);
    let run = run_token(&server, &own).await;
    let get = async |path: &str| server.call_as(&run, Method::GET, path, &json!({})).await;
    let post = async |path: &str, body| server.call_as(&run, Method::POST, path, &body).await;

    for rest in ["", "/log", "/stream"] {
        assert_eq!(get(&path(&bobs, rest)).await.problem().1, "execution_not_found", "{rest}");
    }
    let found = get(&path(&adas, "")).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    let list = get("/api/executions?agent=a").await.json();
    let listed = list["executions"].as_array().expect("rows").iter();
    let listed: Vec<_> = listed.map(|row| row["execution_id"].clone()).collect();
    assert_eq!(listed, [json!(adas), json!(own)]);
    for path in ["/api/executions/stats", "/api/executions/stats?agent=a"] {
        assert_eq!(get(path).await.json()["total"], 2, "{path}");
    }
    let activities = get("/api/activities").await;
    assert!(!activities.text.contains(&bobs) && activities.text.contains(&own));
    let costs = get("/api/executions/timeline?bucket=agent").await.json();
    assert_eq!(costs["buckets"][0]["total"], 2, "{costs}");
    // Its own slot it knows; that another's run holds one, it does not learn from which.
    let waiting = get(&path(&adas, "")).await.json()["waiting"]["slot_holders"].clone();
    assert_eq!(waiting[0]["execution_id"], json!(own), "{waiting}");
    let head = server.head().await;
    for refused in [path(&bobs, "/terminate"), path(&ended, "/retry")] {
        let answer = post(&refused, json!({})).await;
        assert_eq!(answer.problem().1, "execution_not_found", "{refused}");
    }
    assert_eq!(server.head().await, head);
    let would = post("/api/executions/terminate", json!({"all": true, "dry_run": true})).await;
    let found = would.json()["executions"].as_array().expect("executions").clone();
    let ids: Vec<_> = found.iter().map(|found| &found["execution_id"]).collect();
    assert_eq!(ids, [&json!(adas), &json!(own)], "{}", would.text);

    let answer = post(&path(&adas, "/terminate"), json!({})).await;
    assert_eq!(answer.json()["status"], "cancelled", "{}", answer.text);
    let answer = post(&path(&adas, "/retry"), json!({})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
}

#[tokio::test]
async fn a_run_finds_the_agents_that_it_may_call_but_not_their_settings() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.paused_agent(name).await;
    }
    let change = json!({"may_call": ["b"]}).to_string();
    let changed = server.call(Method::PUT, "/api/agents/a", change).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let (own, _) = server.submit("a", "mine").await;
    let key = run_token(&server, &own).await;
    let list = with_key(&server, Some(&key), Method::GET, "/api/agents").await.json();
    let names: Vec<_> =
        list["agents"].as_array().expect("agents").iter().map(|agent| &agent["name"]).collect();
    assert_eq!(names, ["a"]);
    assert_eq!(list["callable"], json!([{"name": "b", "status": "paused"}]));
    assert_eq!(server.get("/api/agents").await.json()["callable"], json!([]));
}

#[tokio::test]
async fn a_key_that_is_no_agents_can_t_speak_for_one() {
    let server = Server::start().await;
    let request = Server::request(Method::GET, "/api/agents").header("x-source-agent", "a");
    let answer = server.send(request.body(Body::empty()).expect("a request")).await;
    let field = Some("X-Source-Agent".to_owned());
    assert_eq!(answer.problem(), (403, "source_agent_mismatch".to_owned(), field));
}
