//! The billing feed: pages, forms, waiting, and what it refuses.

use axum::body::Body;
use axum::http::header::ACCEPT;
use axum::http::{Method, StatusCode};
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{
    Completed, CostCorrected, ExecutionEvent, Pending, RunReport, Running, Trigger,
};
use execution_ledger_domain::{
    Actor, AgentName, ClaimId, Event, EventId, ExecutionId, StreamName, Timestamp, UserName, given,
};
use execution_ledger_store::{ExpectedRevision, Metadata, NewEvent};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::as_of::payment_of_somebody;
use crate::support::{Answer, Server};

fn stored(event: &Event) -> NewEvent {
    let (type_name, version) = event.type_and_version();
    let metadata = Metadata {
        actor: Actor::system("test"),
        correlation_id: "story".to_owned(),
        causation_id: "cause".to_owned(),
        traceparent: None,
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: type_name.to_owned(),
        version,
        metadata: serde_json::to_string(&metadata).expect("JSON"),
        data: event.to_json(),
        contents: Vec::new(),
    }
}

/// An execution that ran and cost so much, by this model: its id.
async fn ended(server: &Server, nanos: Option<i64>, model: &str) -> String {
    let (id, _) = server.submit("a", "x").await;
    ran(server, &id, nanos, model).await;
    id
}

/// An accepted execution runs and ends.
async fn ran(server: &Server, id: &str, nanos: Option<i64>, model: &str) {
    let claim = ClaimId(Uuid::now_v7());
    let running = Running {
        claim,
        slot_until: Timestamp::MAX,
        runtime: Runtime::Command,
        resumed_session_id: None,
        told: Vec::new(),
        node: None,
    };
    let report: RunReport = serde_json::from_value(json!({
        "claim": claim, "started_at": Timestamp::EPOCH, "ended_at": Timestamp::EPOCH,
        "duration_ms": 1, "cost_nano_usd": nanos, "model_used": model,
        "cost_basis": if nanos.is_some() { "provider_reported" } else { "unknown" },
    }))
    .expect("a report");
    let events = [
        ExecutionEvent::Running(running),
        ExecutionEvent::Completed(Box::new(Completed { report })),
    ];
    append(server, id, ExpectedRevision::Exact(0), events.map(|event| stored(&event.into()))).await;
}

async fn append<const N: usize>(
    server: &Server,
    id: &str,
    expected: ExpectedRevision,
    events: [NewEvent; N],
) {
    let stream = StreamName::execution(ExecutionId(id.parse().expect("an id")));
    let done = server.store.append(&stream, expected, events.into()).await;
    done.expect("appended");
}

async fn corrected(server: &Server, id: &str, nanos: i64) {
    let corrected: CostCorrected = serde_json::from_value(json!({
        "cost_nano_usd": nanos, "cost_basis": "priced_locally",
        "reason": {"sha256": "0".repeat(64), "bytes": 1},
    }))
    .expect("a correction");
    let event = stored(&ExecutionEvent::CostCorrected(corrected).into());
    append(server, id, ExpectedRevision::Exact(2), [event]).await;
}

/// An execution that was paid for, as it was accepted: its id.
async fn paid(server: &Server, payment: &str) -> String {
    let id = ExecutionId::paid_by(payment.parse().expect("an id"));
    let (agent, user) = (AgentName::new("a").expect("name"), UserName::new("u").expect("name"));
    // One that expires now would be ended by the server as soon as it sees it.
    let task = given::task(agent, user, Timestamp::MAX);
    let pending =
        Pending { triggered_by: Trigger::Paid, payment_id: Some(payment.to_owned()), ..task };
    let accepted = stored(&ExecutionEvent::Pending(Box::new(pending)).into());
    append(server, &id.to_string(), ExpectedRevision::NoStream, [accepted]).await;
    id.to_string()
}

/// The feed once everything that was appended has been seen.
async fn feed(server: &Server, query: &str) -> Answer {
    let at = format!("{}-{}", server.store.log_id(), server.head().await.number());
    let answer = server.get(&format!("/api/costs/feed?wait_for={at}&{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer
}

fn texts<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[field].as_str().expect("a text")).collect()
}

async fn some_rows() -> (Server, Vec<String>) {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let one = ended(&server, Some(14_300_000), "opus").await;
    let two = ended(&server, None, "=HYPERLINK(\"http://x\")").await;
    corrected(&server, &one, 4_300_000).await;
    corrected(&server, &two, 1).await;
    (server, vec![one, two])
}

#[tokio::test]
async fn what_a_paid_run_cost_names_the_payment_that_it_was_paid_by() {
    let (server, ids) = some_rows().await;
    let payment = payment_of_somebody(&server).await;
    let id = paid(&server, &payment).await;
    ran(&server, &id, Some(2_000_000), "opus").await;
    corrected(&server, &id, 3_000_000).await;
    let rows = feed(&server, "").await.json()["rows"].as_array().expect("rows").clone();
    let (unpaid, paid) = rows.split_at(ids.len() * 2);
    assert!(unpaid.iter().all(|row| row["payment_id"].is_null()), "{unpaid:?}");
    assert_eq!(texts(paid, "payment_id"), [&payment, &payment]);
    assert_eq!(texts(paid, "kind"), ["run_cost", "cost_corrected"]);
    assert_eq!(texts(paid, "unit"), ["USD", "USD"], "the cost is no payment");
}

#[tokio::test]
async fn page_after_page_each_fact_comes_once_with_its_sign_and_the_sums_are_those_of_the_summary()
{
    let (server, ids) = some_rows().await;
    let all = feed(&server, "").await.json();
    let rows = all["rows"].as_array().expect("rows").clone();
    let kinds = ["run_cost", "run_cost", "cost_corrected", "cost_corrected"];
    assert_eq!(texts(&rows, "kind"), kinds);
    assert_eq!(texts(&rows, "execution_id"), [&ids[0], &ids[1], &ids[0], &ids[1]]);
    let amounts: Vec<_> = rows.iter().map(|row| row["amount"].clone()).collect();
    let expected = [json!(0.0143), Value::Null, json!(-0.01), json!(0.000_000_001)];
    assert_eq!(amounts, expected, "unknown is unknown, never zero");
    assert_eq!(all["next_cursor"], Value::Null);

    let mut paged = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let answer = feed(&server, &query).await;
        let page = answer.json();
        assert_eq!(answer.header("ledger-resume-after"), page["resume_after"].as_str());
        paged.extend(page["rows"].as_array().expect("rows").clone());
        let Some(next) = page["next_cursor"].as_str() else {
            assert_eq!(answer.header("link"), None);
            break;
        };
        let link = answer.header("link").expect("a link");
        assert!(
            link.contains(&format!("after={next}")) && link.ends_with("rel=\"next\""),
            "{link}"
        );
        query = format!("limit=1&cursor={next}");
    }
    assert_eq!(paged, rows);

    let resume = all["resume_after"].as_str().expect("a position");
    let nothing = feed(&server, &format!("after={resume}")).await.json();
    assert_eq!(nothing["rows"], json!([]));
    let third = ended(&server, Some(5), "opus").await;
    let more = feed(&server, &format!("after={resume}")).await.json();
    assert_eq!(texts(more["rows"].as_array().expect("rows"), "execution_id"), [third]);

    let costs = server.get("/api/costs?by=agent").await.json();
    assert_eq!(costs["total"]["cost_usd"], json!(0.004_300_006));
    assert_eq!((&costs["total"]["runs"], &costs["total"]["unknown"]), (&json!(3), &json!(0)));
    let then = server.get(&format!("/api/costs/feed?as_of={}", texts(&rows, "position")[1])).await;
    assert_eq!(then.json()["rows"], json!(rows[..2]));
}

#[tokio::test]
async fn a_table_has_exact_amounts_empty_cells_for_the_unknown_and_no_formula() {
    let (server, ids) = some_rows().await;
    let answer = feed(&server, "format=csv").await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let lines: Vec<_> = answer.text.strip_suffix("\r\n").expect("lines").split("\r\n").collect();
    assert_eq!(lines.len(), 5, "{}", answer.text);
    assert!(
        lines[0].starts_with("position,event_id,kind,execution_id,payment_id,agent,user,model,")
    );
    assert!(lines[1].contains(&format!(",run_cost,{},,a,", ids[0])), "{}", lines[1]);
    assert!(lines[1].contains(",opus,manual,0.0143,USD,provider_reported,0,,,"), "{}", lines[1]);
    let formula = ",\"'=HYPERLINK(\"\"http://x\"\")\",manual,,USD,unknown,1,,,";
    assert!(lines[2].contains(formula), "{}", lines[2]);
    assert!(lines[3].contains(",-0.01,USD,priced_locally,0,,,"), "{}", lines[3]);
    assert!(lines[4].contains(",0.000000001,USD,priced_locally,-1,,,"), "{}", lines[4]);
}

#[tokio::test]
async fn the_form_is_what_a_caller_accepts_or_asks_for_by_name() {
    let (server, ids) = some_rows().await;
    let json = feed(&server, "").await.json();
    let as_accepted = async |accept: &str| {
        let request = Server::request(Method::GET, "/api/costs/feed").header(ACCEPT, accept);
        server.send(request.body(Body::empty()).expect("a request")).await
    };
    for (accept, media_type) in [
        ("*/*", "application/json"),
        ("text/html, nothing", "application/json"),
        ("text/csv;q=0.9", "text/csv; charset=utf-8; header=present"),
        ("text/html, application/x-ndjson", "application/x-ndjson"),
        ("application/cloudevents-batch+json", "application/cloudevents-batch+json"),
    ] {
        let answer = as_accepted(accept).await;
        assert_eq!(answer.header("content-type"), Some(media_type), "{accept}");
    }
    let lines = feed(&server, "format=ndjson").await.text;
    let rows: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(json!(rows), json["rows"]);
    let events = feed(&server, "format=cloudevents").await.json();
    for (event, row) in events.as_array().expect("events").iter().zip(&rows) {
        assert_eq!(
            (&event["specversion"], &event["source"]),
            (&json!("1.0"), &json!("/api/costs/feed"))
        );
        assert_eq!((&event["id"], &event["subject"]), (&row["event_id"], &row["execution_id"]));
        assert_eq!((&event["time"], &event["data"]), (&row["at"], row));
    }
    assert_eq!(events[2]["type"], "execution-ledger.cost_corrected.v1");
    assert_eq!(events[2]["subject"], json!(ids[0]));
}

#[tokio::test]
async fn a_caller_that_waits_is_answered_with_the_first_row_that_comes() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    let waiting = async {
        let after = format!("{}-{}", server.store.log_id(), server.head().await.number());
        server.get(&format!("/api/costs/feed?wait=15&after={after}")).await
    };
    let (answer, id) = tokio::join!(waiting, ended(&server, Some(7), "opus"));
    let page = answer.json();
    assert_eq!(texts(page["rows"].as_array().expect("rows"), "execution_id"), [id]);
}

#[tokio::test]
async fn what_no_feed_could_mean_is_refused_by_name() {
    let (server, _) = some_rows().await;
    let position = format!("{}-2", server.store.log_id());
    for (query, status, code, field) in [
        ("after=nonsense", 422, "invalid_parameter", "after"),
        ("cursor=%27%20OR%201%3D1", 422, "invalid_parameter", "cursor"),
        ("after=otherlog-3", 409, "other_log", "after"),
        ("as_of=otherlog-3", 409, "other_log", "as_of"),
        (&format!("after={}-99999", server.store.log_id()), 422, "invalid_parameter", "after"),
        (&format!("after={position}&cursor={position}"), 422, "invalid_parameter", "after"),
        ("limit=0", 422, "invalid_parameter", "limit"),
        ("limit=10001", 422, "invalid_parameter", "limit"),
        ("limit=-1", 422, "invalid_parameter", "limit"),
        ("wait=31", 422, "invalid_parameter", "wait"),
        (&format!("wait=1&as_of={position}"), 422, "invalid_parameter", "wait"),
        ("format=xml", 422, "invalid_parameter", "format"),
        ("agent=a", 422, "unknown_parameter", "agent"),
    ] {
        let answer = server.get(&format!("/api/costs/feed?{query}")).await;
        let expected = (status, code.to_owned(), Some(field.to_owned()));
        assert_eq!(answer.problem(), expected, "{query}");
    }
}
