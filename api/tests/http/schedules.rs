//! Schedules: made, looked at, changed, triggered, gone.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Server};

async fn made(server: &Server, body: &Value) -> Value {
    let answer = server.post("/api/schedules", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let id = json["schedule_id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("/api/schedules/{id}").as_str()));
    json
}

fn nightly() -> Value {
    json!({"agent_name": "a", "message": "tidy up", "cron": "30 2 * * MON-FRI",
        "timezone": "Europe/Berlin"})
}

fn path(schedule: &Value, part: &str) -> String {
    format!("/api/schedules/{}{part}", schedule["schedule_id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_schedule_lives_from_its_making_to_its_end() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let schedule = made(&server, &nightly()).await;
    for (field, value) in [
        ("name", json!("tidy up")),
        ("message", json!("tidy up")),
        ("enabled", json!(true)),
        ("overlap", json!("skip")),
        ("catch_up", json!("one")),
        ("user", json!("admin")),
        ("ticks", json!([])),
        ("last", json!(null)),
    ] {
        assert_eq!(schedule[field], value, "{field}");
    }
    assert_eq!(schedule["description"], "At 02:30, on weekdays (Europe/Berlin)");
    let upcoming = schedule["upcoming"].as_array().expect("a list");
    assert_eq!(upcoming.len(), 10);
    assert_eq!(schedule["next"], upcoming[0]);
    assert!(upcoming[0]["local"].as_str().is_some_and(|local| local.contains("T02:30:00+0")));

    let body = json!({"cron": "*/5 * * * *", "overlap": "queue", "timeout_s": 7}).to_string();
    let changed = server.call(Method::PUT, &path(&schedule, ""), body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let json = changed.json();
    assert_eq!((&json["cron"], &json["message"]), (&json!("*/5 * * * *"), &json!("tidy up")));
    assert_eq!((&json["overlap"], &json["timeout_s"]), (&json!("queue"), &json!(7)));
    let reset = json!({"overlap": null, "timeout_s": null, "timezone": null}).to_string();
    let json = server.call(Method::PUT, &path(&schedule, ""), reset).await.json();
    assert_eq!((&json["overlap"], &json["timeout_s"]), (&json!("skip"), &json!(null)));
    assert_eq!(json["timezone"], "UTC");

    let json = server.post(&path(&schedule, "/disable"), &json!({})).await.json();
    assert_eq!((&json["enabled"], &json["next"]), (&json!(false), &json!(null)));
    let list = async |query: &str| {
        let list = server.get(&format!("/api/schedules?{query}")).await;
        assert_eq!(list.status, StatusCode::OK, "{}", list.text);
        list.json()["schedules"].as_array().expect("a list").len()
    };
    assert_eq!((list("enabled=false").await, list("enabled=true").await), (1, 0));
    assert_eq!((list("agent=a").await, list("agent=b").await), (1, 0));
    let before = json["position"].as_str().expect("a position").to_owned();
    let json = server.post(&path(&schedule, "/enable"), &json!({})).await.json();
    assert_eq!(json["enabled"], true);

    let gone = server.call(Method::DELETE, &path(&schedule, ""), "").await;
    assert_eq!((gone.status, &gone.json()["status"]), (StatusCode::OK, &json!("deleted")));
    let position = gone.json()["position"].as_str().expect("a position").to_owned();
    assert_eq!(list(&format!("wait_for={position}")).await, 0);
    assert_eq!(server.get(&path(&schedule, "")).await.problem().1, "schedule_not_found");
    let then = server.get(&path(&schedule, &format!("?as_of={before}"))).await.json();
    assert_eq!(then["enabled"], false);
    let again = server.post(&path(&schedule, "/enable"), &json!({})).await;
    assert_eq!(again.problem(), (404, "schedule_not_found".to_owned(), Some("id".to_owned())));
}

#[tokio::test]
async fn what_can_not_be_is_refused_by_the_name_of_its_field() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let refused = async |changes: Value| {
        let mut body = nightly();
        for (name, value) in changes.as_object().expect("fields") {
            body[name] = value.clone();
        }
        server.post("/api/schedules", &body).await
    };
    for (changes, code, field) in [
        (json!({"cron": "0 0 30 2 *"}), "invalid_field", "cron"),
        (json!({"cron": "* * * * * *"}), "invalid_field", "cron"),
        (json!({"cron": "@daily"}), "invalid_field", "cron"),
        (json!({"cron": null}), "missing_field", "cron"),
        (json!({"timezone": "Mars"}), "invalid_field", "timezone"),
        (json!({"name": "a\nb"}), "invalid_field", "name"),
        (json!({"name": ""}), "invalid_field", "name"),
        (json!({"name": "ghp_012345678901234567890123456789abcdef"}), "invalid_field", "name"),
        (json!({"message": ""}), "message_required", "message"),
        (json!({"overlap": "never"}), "invalid_field", "overlap"),
        (json!({"agent_name": "b"}), "agent_not_found", "agent_name"),
        (json!({"model": "m"}), "model_not_listed", "model"),
        (json!({"timeout_s": 100_000}), "above_agent_limit", "timeout_s"),
        (json!({"system_prompt": "x"}), "system_prompt_not_permitted", "system_prompt"),
        (json!({"seconds": 1}), "unknown_field", "seconds"),
        (
            json!({"execution_id": "0192f0c1-7a3e-7c55-9d0b-3f1e8a2b4c6d"}),
            "execution_not_found",
            "execution_id",
        ),
    ] {
        let (_, found, name) = refused(changes.clone()).await.problem();
        assert_eq!((found.as_str(), name.as_deref()), (code, Some(field)), "{changes}");
    }
    let never = refused(json!({"cron": "0 0 30 2 *"})).await;
    assert_eq!(never.json()["detail"], "this date never comes");
    assert_eq!(server.get("/api/schedules").await.json()["schedules"], json!([]));
    for path in ["/api/schedules?enabled=maybe", "/api/schedules/x", "/api/schedules?colour=1"] {
        assert_eq!(server.get(path).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
}

#[tokio::test]
async fn a_schedule_is_triggered_by_hand_and_its_execution_made_repeatable() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut body = nightly();
    body["timeout_s"] = json!(9);
    let schedule = made(&server, &body).await;
    let trigger = async |key: &str| -> Answer {
        let request = Server::request(Method::POST, &path(&schedule, "/trigger"))
            .header("idempotency-key", key);
        server.send(request.body(Body::empty()).expect("a request")).await
    };
    let first = trigger("k").await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let again = trigger("k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let id = first.json()["execution_id"].clone();
    assert_eq!(again.json()["execution_id"], id);
    assert_ne!(trigger("l").await.json()["execution_id"], id);

    let third = trigger("m").await.json();
    let position = third["position"].as_str().expect("a position").to_owned();
    let ticks = server.get(&path(&schedule, &format!("/ticks?limit=1&wait_for={position}"))).await;
    let json = ticks.json();
    assert_eq!(json["ticks"][0]["decision"], "fired", "{}", ticks.text);
    assert_eq!(json["ticks"][0]["reason"], "triggered");
    let cursor = json["next_cursor"].as_str().expect("a cursor").to_owned();
    let rest = server.get(&path(&schedule, &format!("/ticks?cursor={cursor}"))).await.json();
    assert_eq!(rest["ticks"][1]["execution_id"], id);
    let record = format!("/api/agents/a/executions/{}", id.as_str().expect("an id"));
    let record = server.get(&record).await.json();
    assert_eq!(record["triggered_by"], "schedule");
    assert_eq!(record["schedule_id"], schedule["schedule_id"]);

    let repeat = json!({"execution_id": id, "cron": "0 9 * * *"});
    let open = server.post("/api/schedules", &repeat).await;
    assert_eq!(open.problem().1, "not_ended");
    let id = id.as_str().expect("an id");
    let stop = format!("/api/agents/a/executions/{id}/terminate");
    assert_eq!(server.post(&stop, &json!({})).await.status, StatusCode::ACCEPTED);
    let repeated = made(&server, &repeat).await;
    for (field, value) in [
        ("message", json!("tidy up")),
        ("agent_name", json!("a")),
        ("timeout_s", json!(9)),
        ("cron", json!("0 9 * * *")),
        ("timezone", json!("UTC")),
    ] {
        assert_eq!(repeated[field], value, "{field}");
    }
}

#[tokio::test]
async fn an_expression_is_previewed_in_words_and_times_of_both_clocks() {
    let server = Server::start().await;
    let body = json!({"cron": " 30  2 * * * ", "timezone": "Europe/Berlin"});
    let preview = server.post("/api/schedules/preview", &body).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    let json = preview.json();
    assert_eq!(json["cron"], "30 2 * * *");
    assert_eq!(json["description"], "At 02:30 (Europe/Berlin)");
    let next = json["next"].as_array().expect("a list");
    assert_eq!(next.len(), 10);
    for moment in next {
        assert!(moment["local"].as_str().is_some_and(|local| local.contains("T0")), "{moment}");
        assert!(moment["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{moment}");
    }
    for (body, field) in [
        (json!({"cron": "0 0 30 2 *"}), "cron"),
        (json!({"cron": "* * * * *", "timezone": "x"}), "timezone"),
        (json!({}), "cron"),
    ] {
        let refused = server.post("/api/schedules/preview", &body).await;
        assert_eq!(refused.problem().2.as_deref(), Some(field), "{}", refused.text);
    }
}

#[tokio::test]
async fn the_times_of_a_schedule_are_told_from_any_moment_to_come_while_it_is_enabled() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let body = json!({"agent_name": "a", "message": "hello", "cron": "0 * * * *", "timezone": "Europe/Berlin"});
    let made = made(&server, &body).await;
    let asked = path(&made, "/upcoming");
    let later = server.get(&format!("{asked}?after=2099-12-24T22:30:00Z&limit=2")).await.json();
    let local = |next: usize| later["upcoming"][next]["local"].as_str().expect("a time").to_owned();
    assert_eq!(later["upcoming"].as_array().map(Vec::len), Some(2), "{later}");
    assert!(
        local(0).starts_with("2099-12-25T00:00:00") && local(1).starts_with("2099-12-25T01:00:00")
    );
    // What is over does not come.
    let next = server.get(&format!("{asked}?after=2001-01-01T00:00:00Z&limit=1")).await.json();
    assert_eq!(next["upcoming"][0], made["upcoming"][0]);
    for wrong in ["after=soon", "limit=0", "limit=201", "as_of=2001-01-01T00:00:00Z", "count=1"] {
        let refused = server.get(&format!("{asked}?{wrong}")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", refused.text);
    }
    server.post(&path(&made, "/disable"), &json!({})).await;
    assert_eq!(server.get(&asked).await.json()["upcoming"], json!([]));
}
