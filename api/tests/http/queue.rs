//! The queue and what is done to it: moving to the front, stopping many, trying again.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use execution_ledger_domain::execution::{Command, Execution, ExecutionEvent, Pending, Trigger};
use execution_ledger_domain::limits::QUEUE_MOVES_MAX;
use execution_ledger_domain::{
    Actor, AgentName, Content, Event, ExecutionId, SessionId, StreamName,
};
use execution_ledger_store::{Context, With};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keys::run_token;
use crate::support::{Answer, Server};

/// Stops, moves or retries: `what` is the last part of the path.
async fn about(server: &Server, agent: &str, id: &str, what: &str) -> Answer {
    server.post(&format!("/api/agents/{agent}/executions/{id}/{what}"), &json!({})).await
}

async fn terminate_all(server: &Server, body: Value) -> Value {
    let answer = server.post("/api/executions/terminate", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

async fn with_token(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

async fn queue_of(server: &Server, agent: &str, position: &str) -> Vec<(Value, Value)> {
    let path = format!("/api/agents/{agent}/capacity?wait_for={position}");
    let capacity = server.get(&path).await.json();
    let queue = capacity["queue"].as_array().expect("a queue").iter();
    queue.map(|waiting| (waiting["execution_id"].clone(), waiting["place"].clone())).collect()
}

/// The first event of an execution.
async fn pending_of(server: &Server, id: &str) -> Pending {
    let stream = StreamName::execution(id.parse().expect("an id"));
    let events = server.store.read_stream(&stream, 0, 1, With::EventsOnly).await.expect("events");
    match events[0].event().expect("readable") {
        Event::Execution(ExecutionEvent::Pending(pending)) => *pending,
        other => panic!("the first event is {other:?}"),
    }
}

#[tokio::test]
async fn whatever_is_moved_to_the_front_stands_before_all_that_were_moved_before() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(server.submit("a", text).await.0);
    }
    let moved = about(&server, "a", &ids[1], "move_to_front").await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text);
    assert_eq!(
        (&moved.json()["place"], &moved.json()["reason"]),
        (&json!(1), &json!("agent_paused"))
    );
    let last = about(&server, "a", &ids[2], "move_to_front").await.json();
    let position = last["position"].as_str().expect("a position");
    let expected =
        [(json!(ids[2]), json!(1)), (json!(ids[1]), json!(2)), (json!(ids[0]), json!(3))];
    assert_eq!(queue_of(&server, "a", position).await, expected);
    let list = server.get(&format!("/api/executions?wait_for={position}")).await.json();
    let places = list["executions"].as_array().expect("rows").iter();
    let places: Vec<_> = places.map(|row| row["waiting"]["place"].clone()).collect();
    assert_eq!(places, [1, 2, 3], "the newest first, which were moved last");

    assert_eq!(
        about(&server, "b", &ids[0], "move_to_front").await.problem().1,
        "execution_not_found"
    );
    assert_eq!(about(&server, "a", &ids[0], "terminate").await.status, StatusCode::ACCEPTED);
    let gone = about(&server, "a", &ids[0], "move_to_front").await;
    assert_eq!(gone.problem(), (409, "not_pending".to_owned(), None));
    let token = run_token(&server, &ids[1]).await;
    let path = format!("/api/agents/a/executions/{}/move_to_front", ids[2]);
    let refused = with_token(&server, &token, &path, &json!({})).await;
    assert_eq!(refused.problem().1, "forbidden", "a run may not change the order of a queue");
}

#[tokio::test]
async fn whatever_stands_first_is_not_moved_again_and_nothing_is_moved_for_ever() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (one, two) = (server.submit("a", "one").await.0, server.submit("a", "two").await.0);
    let before = server.head().await;
    for _ in 0..3 {
        let moved = about(&server, "a", &one, "move_to_front").await;
        assert_eq!((moved.status, &moved.json()["place"]), (StatusCode::OK, &json!(1)));
    }
    assert_eq!(server.head().await, before, "it stood first already");
    for _ in 0..QUEUE_MOVES_MAX {
        for id in [&two, &one] {
            let moved = about(&server, "a", id, "move_to_front").await;
            assert_eq!(moved.json()["place"], json!(1), "{}", moved.text);
        }
    }
    let refused = about(&server, "a", &two, "move_to_front").await;
    assert_eq!(refused.problem(), (409, "too_many_moves".to_owned(), None));
    assert_eq!(about(&server, "a", &two, "terminate").await.status, StatusCode::ACCEPTED);
    let stream = StreamName::execution(two.parse().expect("an id"));
    let events = server.store.read_stream(&stream, 0, 200, With::EventsOnly).await.expect("events");
    let last = events.last().expect("events").event().expect("readable");
    assert!(matches!(last, Event::Execution(ExecutionEvent::Cancelled(_))), "the end is seen");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_stopped_and_changes_nothing() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (runs, _) = server.submit("a", "report on alpha").await;
    run_token(&server, &runs).await;
    let (waits, _) = server.submit("a", "report on beta").await;
    let (other, _) = server.submit("a", "something else").await;
    let (foreign, _) = server.submit("b", "report on gamma").await;

    let before = server.head().await;
    let body = json!({"agent": "a", "q": "report*", "dry_run": true});
    let would = terminate_all(&server, body).await;
    assert_eq!(server.head().await, before, "nothing was written");
    assert_eq!(would["dry_run"], true);
    assert_eq!((&would["matched"], &would["truncated"]), (&json!(2), &json!(false)));
    let expected = json!([
        {"execution_id": waits, "agent_name": "a", "status": "pending", "outcome": "cancelled"},
        {"execution_id": runs, "agent_name": "a", "status": "running", "outcome": "cancelling"},
    ]);
    assert_eq!(would["executions"], expected);

    let done = terminate_all(&server, json!({"agent": "a", "q": "report*"})).await;
    assert_eq!(done["executions"], expected, "what it said is what it does");
    assert_eq!((&done["cancelled"], &done["cancelling"]), (&json!(1), &json!(1)));
    assert_eq!((&done["already_finished"], &done["failed"]), (&json!(0), &json!(0)));
    for (id, agent) in [(&other, "a"), (&foreign, "b")] {
        let record = server.get(&format!("/api/agents/{agent}/executions/{id}")).await.json();
        assert_eq!(record["status"], "pending", "the filters did not find it");
    }
    let again = terminate_all(&server, json!({"agent": "a", "status": "pending"})).await;
    assert_eq!((&again["matched"], &again["cancelled"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn stopping_many_needs_a_filter_is_bounded_and_reaches_no_further_than_the_key() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (own, _) = server.submit("a", "x").await;
    for text in ["1", "2", "3"] {
        server.submit("b", text).await;
    }
    let field = |name: &str| Some(name.to_owned());
    for (body, wrong) in [
        (json!({}), "all"),
        (json!({"dry_run": true}), "all"),
        (json!({"agent": "a", "all": true}), "all"),
        (json!({"agent": "a", "limit": 0}), "limit"),
        (json!({"agent": "a", "limit": 1_001}), "limit"),
        (json!({"agent": "a", "status": "completed"}), "status"),
        (json!({"agent": "A"}), "agent"),
        (json!({"min_cost": -1}), "min_cost"),
        (json!({"q": "w".repeat(1_001)}), "q"),
    ] {
        let refused = server.post("/api/executions/terminate", &body).await;
        assert_eq!(refused.problem(), (422, "invalid_field".to_owned(), field(wrong)), "{body}");
    }
    let unknown = server.post("/api/executions/terminate", &json!({"agnet": "a"})).await;
    assert_eq!(unknown.problem().1, "unknown_field");

    let two = terminate_all(&server, json!({"agent": "b", "limit": 2, "dry_run": true})).await;
    assert_eq!((&two["matched"], &two["truncated"]), (&json!(2), &json!(true)));
    let token = run_token(&server, &own).await;
    let all = json!({"all": true, "dry_run": true});
    let narrow = with_token(&server, &token, "/api/executions/terminate", &all).await;
    assert_eq!(narrow.json()["executions"].as_array().expect("rows").len(), 1, "{}", narrow.text);
    assert_eq!(narrow.json()["executions"][0]["execution_id"], own.as_str());
    assert_eq!(terminate_all(&server, all).await["matched"], 4);
}

#[tokio::test]
async fn an_ended_execution_is_tried_again_with_its_own_settings_as_far_as_they_are_allowed_today()
{
    let server = Server::start().await;
    let body = json!({
        "name": "a", "runtime": "claude_code", "models": ["m", "n"], "timeout_s": 600,
        "allowed_tools": ["Read", "Bash"], "allow_system_prompt": true,
    });
    assert_eq!(server.post("/api/agents", &body).await.status, StatusCode::CREATED);
    assert_eq!(server.post("/api/agents/a/pause", &json!({})).await.status, StatusCode::OK);
    let task = json!({
        "message": "hello", "async_mode": true, "model": "n", "timeout_s": 300,
        "allowed_tools": ["Read", "Bash"], "system_prompt": "be kind", "max_turns": 4,
    });
    let first = server.post("/api/agents/a/task", &task).await.json();
    let first = first["execution_id"].as_str().expect("an id").to_owned();
    let early = about(&server, "a", &first, "retry").await;
    assert_eq!(early.problem(), (409, "not_ended".to_owned(), None));
    about(&server, "a", &first, "terminate").await;
    let changed = json!({"timeout_s": 200, "allowed_tools": ["Read"]}).to_string();
    let changed = server.call(Method::PUT, "/api/agents/a", changed).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);

    let answer = about(&server, "a", &first, "retry").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let own = answer.json()["links"]["self"].as_str().expect("a link").to_owned();
    let record = server.get(&own).await.json();
    assert_eq!((&record["triggered_by"], &record["attempt"]), (&json!("retry"), &json!(2)));
    assert_eq!((&record["retry_of"], &record["message"]), (&json!(first), &json!("hello")));
    assert_eq!((&record["model_requested"], &record["timeout_s"]), (&json!("n"), &json!(200)));
    let again = record["execution_id"].as_str().expect("an id");
    let (old, new) = (pending_of(&server, &first).await, pending_of(&server, again).await);
    assert_eq!(new.allowed_tools, Some(vec!["Read".to_owned()]));
    assert_eq!((new.max_turns, &new.user), (Some(4), &old.user));
    assert_ne!(new.message.sha256, old.message.sha256, "stored anew, with a salt of its own");
    assert!(new.system_prompt.is_some());
    let detail = server.get(&format!("/api/agents/a/executions/{first}")).await.json();
    assert_eq!(detail["retries"], json!([again]));

    let none = json!({"models": ["m"]}).to_string();
    server.call(Method::PUT, "/api/agents/a", none).await;
    let gone = about(&server, "a", &first, "retry").await.problem();
    assert_eq!(gone, (422, "model_not_listed".to_owned(), Some("model".to_owned())));
}

#[tokio::test]
async fn trying_again_is_safe_to_repeat_and_held_by_the_queue() {
    let server = Server::start().await;
    let body = json!({"name": "a", "runtime": "demo", "queue_limit": 1, "max_parallel_tasks": 1});
    assert_eq!(server.post("/api/agents", &body).await.status, StatusCode::CREATED);
    assert_eq!(server.post("/api/agents/a/pause", &json!({})).await.status, StatusCode::OK);
    let (first, _) = server.submit("a", "x").await;
    let stopped = about(&server, "a", &first, "terminate").await.json();
    let position = stopped["position"].as_str().expect("a position");
    assert_eq!(queue_of(&server, "a", position).await, [], "its place is free again");
    let path = format!("/api/agents/a/executions/{first}/retry");
    let send = async |path: &str, key: &str| {
        let request = Server::request(Method::POST, path).header("idempotency-key", key);
        server.send(request.body(Body::empty()).expect("a request")).await
    };
    let one = send(&path, "k").await;
    assert_eq!(one.status, StatusCode::ACCEPTED, "{}", one.text);
    let same = send(&path, "k").await;
    assert_eq!(same.header("idempotent-replayed"), Some("true"));
    assert_eq!(same.json(), one.json());
    let full = send(&path, "other").await;
    assert_eq!(full.problem(), (429, "queue_full".to_owned(), None));
    let id = one.json()["execution_id"].as_str().expect("an id").to_owned();
    about(&server, "a", &id, "terminate").await;
    let reused = send(&format!("/api/agents/a/executions/{id}/retry"), "k").await;
    assert_eq!(reused.problem().1, "idempotency_key_reused");
}

#[tokio::test]
async fn a_turn_of_a_chat_is_posted_again_instead() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (plain, _) = server.submit("a", "x").await;
    let message = Content::new([3; 16], "hi");
    let turn = Pending {
        triggered_by: Trigger::Chat,
        chat_session_id: Some(SessionId(Uuid::now_v7())),
        message: message.reference(),
        ..pending_of(&server, &plain).await
    };
    let id = ExecutionId(Uuid::now_v7());
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let submit = Command::Submit(Box::new(turn));
    let stream = StreamName::execution(id);
    server
        .ledger
        .execute_new::<Execution>(&stream, submit, &[message], &context)
        .await
        .expect("a turn");
    let id = id.to_string();
    assert_eq!(about(&server, "a", &id, "terminate").await.status, StatusCode::ACCEPTED);
    let refused = about(&server, "a", &id, "retry").await;
    assert_eq!(refused.problem(), (409, "chat_turn".to_owned(), None));
    assert!(refused.json()["hint"].as_str().is_some_and(|hint| hint.contains("messages")));
}

#[tokio::test]
async fn what_a_run_tries_again_stands_under_it() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    server.paused_agent("b").await;
    let (own, _) = server.submit("a", "mine").await;
    let (ended, _) = server.submit("a", "before").await;
    let (foreign, _) = server.submit("b", "not mine").await;
    about(&server, "a", &ended, "terminate").await;
    about(&server, "b", &foreign, "terminate").await;
    let token = run_token(&server, &own).await;
    let path = format!("/api/agents/a/executions/{ended}/retry");
    let accepted = with_token(&server, &token, &path, &json!({})).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    let id = accepted.json()["execution_id"].as_str().expect("an id").to_owned();
    let pending = pending_of(&server, &id).await;
    assert_eq!(pending.parent_execution_id.map(|id| id.to_string()), Some(own));
    assert_eq!((pending.depth, pending.source_agent), (1, AgentName::new("a").ok()));
    let path = format!("/api/agents/b/executions/{foreign}/retry");
    let refused = with_token(&server, &token, &path, &json!({})).await;
    assert_eq!(refused.problem().1, "execution_not_found");
}
