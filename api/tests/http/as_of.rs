//! The past: whatever was answered, is answered again as of the same position.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use execution_ledger_domain::execution::Pending;
use execution_ledger_domain::payment::{Command, Payment, SettlementUnknown};
use execution_ledger_domain::{
    Actor, AgentName, Content, ExecutionId, PaymentId, StreamName, UserName, given,
};
use execution_ledger_store::{Context, ExecuteError};
use serde_json::{Value, json};

use crate::support::Server;

/// What has no past, and says so: live streams and what is known of now alone.
const OF_NOW: [&str; 12] = [
    "/api/nodes",
    "/api/export",
    "/api/paid/executions/{id}",
    "/api/agents/{name}/capacity",
    "/api/agents/{name}/executions/{id}/log",
    "/api/agents/{name}/executions/{id}/proof",
    "/api/agents/{name}/executions/{id}/stream",
    "/api/verify",
    "/api/sessions/{id}/stream",
    "/api/me",
    "/api/costs/prices",
    "/api/schedules/{id}/upcoming",
];

/// How often everything is asked until nothing moves meanwhile.
const ASKED_AGAIN_MAX: usize = 100;

/// Fields that are known of now alone, and that answers of the past leave out: why an execution waits,
/// and when a schedule fires next, and how a webhook stands.
const FIELDS_OF_NOW: [&str; 4] = ["waiting", "next", "upcoming", "health"];

fn without_now(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let of_now = FIELDS_OF_NOW.contains(&name.as_str());
                *field = if of_now { Value::Null } else { without_now(field.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_now(item.take())),
        _ => {}
    }
    value
}

/// What was answered at some moment.
struct Answered {
    at: String,
    path: String,
    status: StatusCode,
    body: Value,
}

struct Life {
    server: Server,
    answered: Vec<Answered>,
    /// What stands for the variables of paths, as far as it is there yet.
    known: Vec<(&'static str, String)>,
}

impl Life {
    /// Every question of the interface that has a past, about everything that is known by now.
    async fn questions(&self) -> BTreeSet<String> {
        let description = self.server.get("/openapi.json").await.json();
        let paths = description["paths"].as_object().expect("paths");
        let mut questions = BTreeSet::new();
        for (path, methods) in paths {
            if !path.starts_with("/api/")
                || methods["get"].is_null()
                || OF_NOW.contains(&path.as_str())
            {
                continue;
            }
            let parameters = methods["get"]["parameters"].as_array().expect("parameters");
            let has_past = parameters.iter().any(|parameter| parameter["name"] == "as_of");
            assert!(has_past, "{path} takes no as_of");
            let category = path.split('/').nth(2).unwrap_or_default();
            let path = path.replace("{name}", "a").replace("{scope}", "agent-a");
            let path = if path.contains("/executions/{id}") {
                self.with(&path, "executions")
            } else {
                self.with(&path, category)
            };
            questions.extend(path);
        }
        let more = [
            "/api/executions/timeline?bucket=agent",
            "/api/costs?by=agent",
            "/api/executions?q=two",
        ];
        questions.extend(more.map(str::to_owned));
        questions
    }

    fn with(&self, path: &str, category: &str) -> Option<String> {
        if !path.contains('{') {
            return Some(path.to_owned());
        }
        let (_, id) = self.known.iter().find(|(name, _)| *name == category)?;
        Some(path.replace("{id}", id))
    }

    /// Asks everything at one position, and remembers the answers. What a change leads to by itself
    /// may still be on its way: then all is asked again.
    async fn ask(&mut self) {
        for _ in 0..ASKED_AGAIN_MAX {
            let head = self.server.head().await.number();
            let at = format!("{}-{head}", self.server.store.log_id());
            if let Some(answered) = self.answers(&at).await {
                self.answered.extend(answered);
                return;
            }
        }
        panic!("it never came to rest");
    }

    /// The answers to everything, if all of them are of this position.
    async fn answers(&self, at: &str) -> Option<Vec<Answered>> {
        let mut answers = Vec::new();
        for path in self.questions().await {
            let mark = if path.contains('?') { '&' } else { '?' };
            let answer = self.server.get(&format!("{path}{mark}wait_for={at}")).await;
            if answer.status == StatusCode::OK && answer.header("ledger-position") != Some(at) {
                return None;
            }
            let (status, body) = (answer.status, without_now(answer.json()));
            answers.push(Answered { at: at.to_owned(), path, status, body });
        }
        Some(answers)
    }

    async fn changed(&mut self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.server.call(method, path, body.to_string()).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        self.ask().await;
        answer.json()
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().expect("a text").to_owned()
}

/// A payment of which nobody knows whether it was made: its id.
pub async fn payment_of_somebody(server: &Server) -> String {
    let id = PaymentId::derived("eip155:1", "0xaa", "0xcc", "0xdd");
    let (agent, user) = (AgentName::new("a").expect("name"), UserName::new("u").expect("name"));
    let content = Content::new([7; 16], "paid for");
    let pending =
        Pending { message: content.reference(), ..given::task(agent, user, server.ledger.now()) };
    let verified = json!({
        "x402_version": 2, "scheme": "exact", "network": "eip155:1", "asset": "0xaa", "amount": "1",
        "pay_to": "0xbb", "payer": "0xcc", "nonce": "0xdd", "valid_after_s": 1, "valid_before_s": 2,
        "payload_sha256": "00".repeat(32), "resource": "r", "facilitator": "f",
        "asked": {"execution_id": ExecutionId::paid_by(id), "pending": pending},
    });
    let verified = serde_json::from_value(verified).expect("an event");
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: Some("story".to_owned()),
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::payment(id);
    for command in [
        Command::Verify(verified),
        Command::RequestSettlement { asked_before: 0 },
        Command::NoteUnknown(SettlementUnknown { reason: "timeout".to_owned() }),
    ] {
        let contents = std::slice::from_ref(&content);
        let done = server.ledger.execute::<Payment>(&stream, command, contents, &context).await;
        assert!(done.is_ok() || matches!(done, Err(ExecuteError::Refused(_))), "{done:?}");
    }
    id.to_string()
}

#[tokio::test]
async fn every_list_and_detail_answers_of_any_moment_what_it_answered_then() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let mut life = Life { server, answered: Vec::new(), known: Vec::new() };
    let (first, _) = life.server.submit("a", "number one").await;
    life.known.push(("executions", first.clone()));
    life.ask().await;
    let schedule = json!({"agent_name": "a", "message": "tidy", "cron": "30 2 1 1 *"});
    let schedule = life.changed(Method::POST, "/api/schedules", schedule).await;
    let schedule = text(&schedule, "schedule_id");
    life.known.push(("schedules", schedule.clone()));
    let session = json!({"agent_name": "a"});
    let session = text(&life.changed(Method::POST, "/api/sessions", session).await, "session_id");
    life.known.push(("sessions", session.clone()));
    let key = json!({"name": "k", "role": "auditor", "user": "ada"});
    let key = text(&life.changed(Method::POST, "/api/keys", key).await, "key_id");
    life.known.push(("keys", key.clone()));
    let webhook = json!({"name": "w", "url": "https://example.org/", "kinds": ["run_cost", "execution.cancelled"]});
    let webhook = life.changed(Method::POST, "/api/webhooks", webhook).await;
    let webhook = text(&webhook, "webhook_id");
    life.known.push(("webhooks", webhook.clone()));
    let payment = payment_of_somebody(&life.server).await;
    life.known.push(("payments", payment.clone()));
    life.ask().await;
    let resolve = format!("/api/payments/{payment}/resolve");
    let terminate = format!("/api/agents/a/executions/{first}/terminate");
    let message = json!({"message": "number two", "async_mode": true});
    for (method, path, body) in [
        (Method::POST, format!("/api/sessions/{session}/messages"), message.clone()),
        (
            Method::PUT,
            "/api/budgets/agent-a".to_owned(),
            json!({"per_day_usd": 3, "per_execution_usd": 1.5}),
        ),
        (Method::POST, "/api/agents/a/task".to_owned(), message),
        (Method::PUT, "/api/budgets/global".to_owned(), json!({"per_month_usd": 10})),
        (Method::POST, terminate, json!({})),
        (Method::PUT, format!("/api/schedules/{schedule}"), json!({"cron": "0 3 1 1 *"})),
        (Method::POST, format!("/api/schedules/{schedule}/disable"), json!({})),
        (Method::PUT, format!("/api/webhooks/{webhook}"), json!({"enabled": false})),
        (Method::POST, format!("/api/webhooks/{webhook}/rotate"), json!({})),
        (Method::DELETE, format!("/api/webhooks/{webhook}"), json!({})),
        (Method::POST, resolve, json!({"outcome": "failed", "reason": "unused"})),
        (Method::DELETE, format!("/api/keys/{key}"), json!({})),
        (Method::DELETE, format!("/api/sessions/{session}"), json!({})),
        (Method::DELETE, format!("/api/schedules/{schedule}"), json!({})),
        (Method::DELETE, "/api/budgets/agent-a".to_owned(), json!({})),
        (Method::DELETE, "/api/agents/a".to_owned(), json!({})),
    ] {
        life.changed(method, &path, body).await;
    }
    assert!(life.answered.len() > 150, "{} answers", life.answered.len());
    for Answered { at, path, status, body } in &life.answered {
        let mark = if path.contains('?') { '&' } else { '?' };
        let again = life.server.get(&format!("{path}{mark}as_of={at}")).await;
        assert_eq!(again.status, *status, "{path} as of {at}: {}", again.text);
        if *status == StatusCode::OK {
            assert_eq!(without_now(again.json()), *body, "{path} as of {at}");
            assert_eq!(again.header("ledger-position"), Some(at.as_str()), "{path}");
        }
    }
}

#[tokio::test]
async fn what_has_no_past_says_so() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (id, position) = server.submit("a", "x").await;
    for path in [
        "/api/agents/a/capacity".to_owned(),
        format!("/api/agents/a/executions/{id}/log"),
        format!("/api/agents/a/executions/{id}/stream"),
    ] {
        let answer = server.get(&format!("{path}?as_of={position}")).await;
        let expected = (422, "invalid_parameter".to_owned(), Some("as_of".to_owned()));
        assert_eq!(answer.problem(), expected, "{path}");
    }
}
