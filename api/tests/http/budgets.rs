//! Budgets: set, looked at, refusing, corrected, lifted.

use axum::http::{Method, StatusCode};
use execution_ledger_domain::execution::{Command, CostBasis, Execution, Observation, TurnContext};
use execution_ledger_domain::{
    Actor, ClaimId, Content, ExecutionId, NanoUsd, StreamName, Timestamp, agent::Runtime,
};
use execution_ledger_store::{Context, Position, With};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server};

async fn set(server: &Server, scope: &str, body: &Value) -> Answer {
    server.call(Method::PUT, &format!("/api/budgets/{scope}"), body.to_string()).await
}

async fn task(server: &Server, max: Option<f64>) -> Answer {
    let body = json!({"message": "x", "async_mode": true, "max_cost_usd": max});
    server.post("/api/agents/a/task", &body).await
}

fn id(answer: &Answer) -> ExecutionId {
    let id = answer.json()["execution_id"].as_str().map(str::parse);
    id.expect("an execution").expect("an id")
}

async fn budget(server: &Server, scope: &str) -> Value {
    let head = format!("{}-{}", server.store.log_id(), server.head().await.number());
    let answer = server.get(&format!("/api/budgets/{scope}?wait_for={head}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

/// What the manager would do, without a process: the agents of these tests are paused.
async fn give(server: &Server, id: ExecutionId, command: Command, contents: &[Content]) {
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: None,
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::execution(id);
    let done = server.ledger.execute::<Execution>(&stream, command, contents, &context).await;
    let done = done.expect("allowed");
    // Admission follows the log a moment later.
    let at = format!("{}-{}", server.store.log_id(), done.position.number());
    let seen = server.get(&format!("/api/agents/a/capacity?wait_for={at}")).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
}

async fn run(server: &Server, id: ExecutionId, cost: Option<NanoUsd>) {
    let claim = ClaimId(Uuid::now_v7());
    let now = server.ledger.now();
    let (runtime, turn) = (Runtime::Command, TurnContext::default());
    give(server, id, Command::Start { claim, now, runtime, turn, node: None }, &[]).await;
    let observed = Observation { cost, ..execution_ledger_domain::given::observed(claim, now) };
    give(server, id, Command::Finish(Box::new(observed)), &[]).await;
}

async fn correct(server: &Server, id: ExecutionId, usd: f64) {
    let reason = Content::new([7; 16], "the invoice says so");
    let command = Command::CorrectCost {
        cost: NanoUsd::from_usd(usd).expect("an amount"),
        basis: CostBasis::ProviderReported,
        price_book: None,
        reason: reason.reference(),
    };
    give(server, id, command, &[reason]).await;
}

async fn events(server: &Server, stream: &str) -> Vec<(String, Value)> {
    let stream = stream.parse().expect("a stream");
    let read = server.store.read_stream(&stream, 0, 1_000, With::EventsOnly).await;
    let read = read.expect("events");
    let data = |text: &str| serde_json::from_str(text).expect("JSON");
    read.iter().map(|event| (event.type_name.clone(), data(&event.data))).collect()
}

#[tokio::test]
async fn what_is_spent_and_kept_is_told_and_a_correction_takes_and_frees_room() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let answer = set(&server, "agent-a", &json!({"per_day_usd": 2, "per_month_usd": 9.5})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(answer.json()["month"]["remaining_usd"], json!(9.5));
    let known = id(&task(&server, Some(0.5)).await);
    let unknown = id(&task(&server, Some(1.0)).await);
    let refused = task(&server, Some(0.75)).await;
    assert_eq!(refused.problem(), (403, "budget_exceeded".to_owned(), None));
    let problem = refused.json();
    for (member, value) in [
        ("budget", json!("agent-a")),
        ("period", json!("day")),
        ("limit_usd", json!(2.0)),
        ("committed_usd", json!(0.0)),
        ("reserved_usd", json!(1.5)),
        ("asked_usd", json!(0.75)),
    ] {
        assert_eq!(problem[member], value, "{member}: {problem}");
    }
    run(&server, known, Some(NanoUsd::from_usd(0.2).expect("an amount"))).await;
    run(&server, unknown, None).await;
    let day = &budget(&server, "agent-a").await["day"];
    let part = |day: &Value, name: &str| day[name].as_f64().expect("a number");
    assert_eq!((part(day, "committed_usd"), part(day, "reserved_usd")), (0.2, 1.0), "{day}");
    assert_eq!((part(day, "remaining_usd"), &day["percent"]), (0.8, &json!(60)), "{day}");
    let then = server.head().await.number();
    assert_eq!(task(&server, Some(0.9)).await.code(), "budget_exceeded");
    correct(&server, unknown, 0.25).await;
    let fits = task(&server, Some(0.9)).await;
    assert_eq!(fits.status, StatusCode::ACCEPTED, "{}", fits.text);
    correct(&server, unknown, 1.25).await;
    let now = budget(&server, "agent-a").await;
    assert_eq!(now["day"]["committed_usd"], json!(1.45), "{now}");
    assert_eq!(now["month"]["reserved_usd"], json!(0.9), "{now}");
    assert_eq!(now["day"]["remaining_usd"], json!(0.0), "more was spent than may be: {now}");
    let past = format!("/api/budgets/agent-a?as_of={}-{then}", server.store.log_id());
    assert_eq!(server.get(&past).await.json()["day"], *day);
    let costs = server.get("/api/costs").await.json();
    assert_eq!(costs["total"]["cost_usd"], json!(1.45), "the same as the summaries");
}

#[tokio::test]
async fn simultaneous_tasks_never_pass_a_limit_together() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    set(&server, "global", &json!({"per_day_usd": 5})).await;
    let asked = futures::future::join_all((0..20).map(|_| task(&server, Some(1.0)))).await;
    let accepted = asked.iter().filter(|answer| answer.status == StatusCode::ACCEPTED).count();
    assert_eq!(accepted, 5);
    let day = &budget(&server, "global").await["day"];
    assert_eq!((&day["reserved_usd"], &day["remaining_usd"]), (&json!(5.0), &json!(0.0)));
    let refused = events(&server, "budget-global").await;
    let refused: Vec<_> = refused.iter().filter(|(name, _)| name == "budget.refused").collect();
    let [(_, first)] = &refused[..] else { panic!("the first at once alone: {refused:?}") };
    assert_eq!((&first["count"], &first["agent"]), (&json!(1), &json!("a")));
}

#[tokio::test]
async fn a_limit_of_one_execution_lowers_its_most_and_refuses_who_asks_for_more() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    set(&server, "user-admin", &json!({"per_execution_usd": 0.5})).await;
    let lowered = id(&task(&server, None).await);
    let first = &events(&server, &format!("execution-{lowered}")).await[0].1;
    assert_eq!(first["max_cost_nano_usd"], json!(500_000_000));
    let refused = task(&server, Some(0.6)).await;
    assert_eq!(refused.problem(), (403, "budget_exceeded".to_owned(), None));
    assert_eq!(
        (&refused.json()["period"], &refused.json()["resets_at"]),
        (&json!("execution"), &Value::Null)
    );
    let retried = format!("/api/agents/a/executions/{lowered}/retry");
    set(&server, "user-admin", &json!({"per_execution_usd": 0.25})).await;
    let terminate = format!("/api/agents/a/executions/{lowered}/terminate");
    assert_eq!(server.post(&terminate, &json!({})).await.status, StatusCode::ACCEPTED);
    let again = server.post(&retried, &json!({})).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    let first = &events(&server, &format!("execution-{}", id(&again))).await[0].1;
    assert_eq!(first["max_cost_nano_usd"], json!(250_000_000), "held to today's budget");
}

#[tokio::test]
async fn whoever_may_not_read_budgets_is_refused_without_the_amounts_of_others() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let (_, key) = server.issue(&json!({"name": "ada", "role": "user"})).await;
    set(&server, "global", &json!({"per_day_usd": 0})).await;
    let body = json!({"message": "x", "async_mode": true});
    let post = || server.call_as(&key, Method::POST, "/api/agents/a/task", &body);
    let refused = post().await;
    assert_eq!(refused.code(), "budget_exceeded");
    assert_eq!(refused.json()["limit_usd"], Value::Null, "{}", refused.text);
    assert!(refused.json()["resets_at"].is_string(), "{}", refused.text);
    set(&server, "user-ada", &json!({"per_day_usd": 0})).await;
    server.call(Method::DELETE, "/api/budgets/global", "").await;
    assert_eq!(post().await.json()["limit_usd"], json!(0.0), "the own one");
    // A budget is no reason to be told to have been turned away.
    let days = server.get("/api/events?type=access.refused").await.json();
    assert_eq!(days["events"], json!([]));
}

#[tokio::test]
async fn parts_of_a_limit_are_told_once_and_again_for_another_limit() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    set(&server, "agent-a", &json!({"per_day_usd": 1})).await;
    task(&server, Some(0.6)).await;
    let told = |count| told(&server, count);
    assert_eq!(told(1).await, [50]);
    task(&server, Some(0.4)).await;
    assert_eq!(told(3).await, [50, 80, 100]);
    assert_eq!(budget(&server, "agent-a").await["day"]["told"], json!([50, 80, 100]));
    set(&server, "agent-a", &json!({"per_day_usd": 1, "per_execution_usd": 1})).await;
    set(&server, "agent-a", &json!({"per_day_usd": 2, "per_execution_usd": 1})).await;
    assert_eq!(told(4).await, [50, 80, 100, 50]);
}

/// The parts that were told, once there are so many.
async fn told(server: &Server, count: usize) -> Vec<u64> {
    let mut log = server.store.subscribe(Position::START).await.expect("a subscription");
    let mut percents = Vec::new();
    let all = async {
        while percents.len() < count {
            let batch = log.next().await.expect("a log").expect("events");
            let told = batch.iter().filter(|event| event.type_name == "budget.threshold_reached");
            percents.extend(told.filter_map(|event| {
                let data: Value = serde_json::from_str(&event.data).ok()?;
                data["percent"].as_u64()
            }));
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, all).await.expect("told in time");
    percents
}

#[tokio::test]
async fn budgets_are_listed_in_pages_and_lifted() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    for scope in ["global", "agent-a", "user-ada"] {
        assert_eq!(set(&server, scope, &json!({"per_day_usd": 1})).await.status, StatusCode::OK);
    }
    let first = server.get("/api/budgets?limit=2").await.json();
    let names = |page: &Value| {
        let rows = page["budgets"].as_array().expect("rows");
        rows.iter()
            .map(|row| row["budget"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["user-ada", "agent-a"]);
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = server.get(&format!("/api/budgets?limit=2&cursor={cursor}")).await.json();
    assert_eq!((names(&second), &second["next_cursor"]), (vec!["global".to_owned()], &Value::Null));
    let lifted = server.call(Method::DELETE, "/api/budgets/agent-a", "").await;
    assert_eq!(lifted.status, StatusCode::OK, "{}", lifted.text);
    for method in [Method::GET, Method::DELETE] {
        let gone = server.call(method, "/api/budgets/agent-a", "").await;
        assert_eq!(gone.problem(), (404, "budget_not_found".to_owned(), Some("scope".to_owned())));
    }
    assert_eq!(names(&server.get("/api/budgets").await.json()), ["user-ada", "global"]);
    assert_eq!(task(&server, None).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_budget_that_can_not_be_is_refused_by_name() {
    let server = Server::start().await;
    for (scope, body, code, field) in [
        ("global", json!({}), "invalid_field", "per_day_usd"),
        ("global", json!({"per_day_usd": -1}), "invalid_field", "per_day_usd"),
        ("global", json!({"per_month_usd": 1e12}), "invalid_field", "per_month_usd"),
        (
            "global",
            json!({"per_execution_usd": 0.000_000_000_1}),
            "invalid_field",
            "per_execution_usd",
        ),
        ("global", json!({"per_day_usd": "1"}), "invalid_field", "per_day_usd"),
        ("global", json!({"per_week_usd": 1}), "unknown_field", "per_week_usd"),
        ("agent-none", json!({"per_day_usd": 1}), "unknown_agent", "scope"),
        ("everything", json!({"per_day_usd": 1}), "invalid_parameter", "scope"),
        ("agent-%2e%2e%2f", json!({"per_day_usd": 1}), "invalid_parameter", "scope"),
    ] {
        let answer = set(&server, scope, &body).await;
        assert_eq!(
            answer.problem(),
            (422, code.to_owned(), Some(field.to_owned())),
            "{scope} {body}"
        );
    }
    assert_eq!(server.head().await, Position::START, "nothing was recorded");
    let unknown = server.get("/api/budgets?kind=agent").await;
    assert_eq!(unknown.problem().1, "unknown_parameter");
    let now = Timestamp::from_micros(1);
    let past = server.get(&format!("/api/budgets?as_of={now}")).await;
    assert_eq!(past.json()["budgets"], json!([]));
}
