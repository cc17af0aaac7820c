//! Chats: an agent works in the background while it answers, and its results come back to the chat;
//! once, and whatever dies in between.

use std::time::Instant;

use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::{PATIENCE, Server, repository};

/// Where `make test-tools` puts the official MCP client.
const PYTHON: &str = "target/test-tools/mcp/python/bin/python";

/// A person with a key of their own.
struct Person {
    key: String,
    client: reqwest::Client,
}

impl Person {
    async fn of(server: &Server, user: &str) -> Self {
        let body = json!({"name": user, "role": "user", "user": user});
        let (status, issued) = server.post("/api/keys", body).await;
        assert_eq!(status, StatusCode::CREATED, "{issued}");
        let key = issued["key"].as_str().expect("a key").to_owned();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { key, client }
    }

    fn request(&self, server: &Server, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", server.url)).bearer_auth(&self.key)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (status, answer.json().await.unwrap_or_default())
            }
            // The server died while it answered.
            Err(_) => (0, Value::Null),
        }
    }

    async fn get(&self, server: &Server, path: &str) -> (u16, Value) {
        self.send(self.request(server, Method::GET, path)).await
    }

    async fn post(&self, server: &Server, path: &str, body: Value) -> (u16, Value) {
        self.send(self.request(server, Method::POST, path).json(&body)).await
    }

    async fn open(&self, server: &Server, agent: &str) -> String {
        let (status, session) =
            self.post(server, "/api/sessions", json!({"agent_name": agent})).await;
        assert_eq!(status, 201, "{session}");
        assert_eq!((&session["status"], &session["agent_name"]), (&json!("open"), &json!(agent)));
        session["session_id"].as_str().expect("an id").to_owned()
    }

    /// Says something and waits for the answer.
    async fn say(&self, server: &Server, session: &str, message: &str) -> Value {
        let path = format!("/api/sessions/{session}/messages");
        let (status, turn) = self.post(server, &path, json!({"message": message})).await;
        assert_eq!((status, &turn["status"]), (200, &json!("completed")), "{turn}");
        assert_eq!(turn["triggered_by"], "chat");
        turn
    }

    /// Waits until the session satisfies the condition.
    async fn await_session(
        &self,
        server: &Server,
        session: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let began = Instant::now();
        loop {
            let (status, found) = self.get(server, &format!("/api/sessions/{session}")).await;
            if status == 200 && condition(&found) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {found}\n{}", server.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// A session as it goes on, by its events.
    async fn stream(&self, server: &Server, session: &str) -> Events {
        let path = format!("/api/sessions/{session}/stream");
        let answer = self.request(server, Method::GET, &path).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        Events::of(answer)
    }
}

/// Events of a stream as they come.
pub struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    /// Of an answer whose frames come as they happen.
    pub fn of(answer: reqwest::Response) -> Self {
        Self { answer, text: String::new() }
    }

    /// The next event of this kind that satisfies the condition; others are passed over.
    pub async fn next(&mut self, kind: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
                let Some(data) = field("data: ") else { continue };
                let data: Value = serde_json::from_str(data).expect("JSON");
                if field("event: ").unwrap_or("message") == kind && condition(&data) {
                    return data;
                }
            }
            assert!(began.elapsed() < PATIENCE, "no {kind}");
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.expect("in time").expect("a stream").expect("no end");
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }
}

/// The messages of the WebSocket after a position, until one satisfies the condition.
async fn watch(
    server: &Server,
    key: &str,
    after: Option<&str>,
    until: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let address = server.url.replacen("http", "ws", 1);
    let query = after.map(|after| format!("?last_event_id={after}")).unwrap_or_default();
    let mut request = format!("{address}/ws{query}").into_client_request().expect("a request");
    let bearer = format!("Bearer {key}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
    let mut told = Vec::new();
    let reading = async {
        while let Some(message) = socket.next().await {
            let Ok(text) = message.expect("a message").into_text() else { continue };
            let Ok(message) = serde_json::from_str::<Value>(&text) else { continue };
            let last = until(&message);
            told.push(message);
            if last {
                return;
            }
        }
        panic!("the WebSocket ended");
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    assert!(read.is_ok(), "{told:?}\n{}", server.log());
    told
}

/// Registers the agent `bot`, which calls itself in the background of its chat. The answer is the file
/// whose appearance ends its background work.
pub async fn chat_agent(server: &Server, slots: u32) -> std::path::PathBuf {
    let python = repository(PYTHON);
    assert!(python.exists(), "{} is missing: run `make test-tools`", python.display());
    let script = repository("tests/support/chat_agent.py");
    let gate = server.work_dir().join("gate");
    let settings = json!({"max_parallel_tasks": slots, "env": {"GATE": gate}});
    let command = [python.to_str().expect("a path"), script.to_str().expect("a path")];
    server.register("bot", &command, settings).await;
    gate
}

fn background_id(turn: &Value) -> String {
    let response = turn["response"].as_str().expect("a response");
    response.trim().strip_prefix("started ").expect("an id").to_owned()
}

fn results(session: &Value) -> Vec<&Value> {
    let entries = session["entries"].as_array().expect("entries").iter();
    entries.filter(|entry| entry["kind"] == "background_result").collect()
}

#[tokio::test]
async fn an_agent_works_in_the_background_of_its_chat_and_its_result_comes_once_through_a_kill() {
    let mut server = Server::start(&[]).await;
    let gate = chat_agent(&server, 1).await;
    let ada = Person::of(&server, "ada").await;
    let session = ada.open(&server, "bot").await;
    let mut stream = ada.stream(&server, &session).await;

    let turn = ada.say(&server, &session, "background the answer").await;
    let task = background_id(&turn);
    let record = server.await_running("bot", &task).await;
    assert_eq!(record["triggered_by"], "self_task", "{record}");
    assert_eq!(record["parent_execution_id"], turn["execution_id"]);
    let line = |data: &Value| data["text"] == "looking for the answer";
    let progress = stream.next("output", line).await;
    assert_eq!(
        (&progress["part"], &progress["execution_id"]),
        (&json!("background"), &json!(task))
    );

    // The self-task holds the only slot; the chat is free all the same.
    let (_, capacity) = server.get("/api/agents/bot/capacity").await;
    assert!(capacity.to_string().contains(&task), "{capacity}");
    let turn = ada.say(&server, &session, "hello").await;
    assert_eq!(turn["response"], "I was given: hello");
    let shown = ada.await_session(&server, &session, "shown", |_| true).await;
    assert_eq!(shown["background"][0]["execution_id"], json!(task));
    let of_task = |state: &'static str| {
        let task = task.clone();
        move |message: &Value| {
            message["activity_id"] == json!(task) && message["activity_state"] == state
        }
    };
    let log = server.request(Method::GET, "/api/executions").send().await.expect("an answer");
    let log = log.headers()["Ledger-Position"].to_str().expect("text").to_owned();
    let start = format!("{}-0", log.split('-').next().expect("a log"));
    let told = watch(&server, &ada.key, Some(&start), of_task("started")).await;
    let started = told.last().expect("a message");
    assert_eq!(started["activity_type"], "self_task");
    assert_eq!(started["type"], "agent_activity");
    assert_eq!(started["action"], "Background task: work the answer");
    assert_eq!(
        (&started["details"]["execution_id"], &started["details"]["inject_result"]),
        (&json!(task), &json!(true))
    );

    // Killed between the end of the task and the injection of its result.
    server.stop().await;
    server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", "manager.before_injection")]).await;
    std::fs::write(&gate, "open").expect("a gate");
    server.await_exit().await;
    server.start_again_with(&[]).await;

    let resumed = started["position"].as_str();
    let told = watch(&server, &ada.key, resumed, of_task("completed")).await;
    let details = &told.last().expect("a message")["details"];
    assert_eq!(details["result_injected"], true, "{details}");
    assert_eq!(details["chat_session_id"], json!(session));
    let preview = "looking for the answer\nfound 42 the answer";
    assert_eq!(details["response_preview"], preview, "{details}");
    assert!(details["execution_time_ms"].is_u64() && details.get("cost_usd").is_some());

    let shown =
        ada.await_session(&server, &session, "injected", |shown| !results(shown).is_empty()).await;
    assert_eq!(results(&shown).len(), 1, "{shown}");
    assert_eq!(results(&shown)[0]["response"], preview);
    assert_eq!(shown["background"], json!([]));
    let turn = ada.say(&server, &session, "what did you find?").await;
    let given = turn["response"].as_str().expect("a response");
    assert!(given.contains("| found 42 the answer") && given.contains(&task), "{given}");
    assert_eq!(turn["message"], "what did you find?", "the stored message is the user's own");
    let turn = ada.say(&server, &session, "thanks").await;
    assert_eq!(turn["response"], "I was given: thanks", "it is told once");
    let events = server.execution("bot", &task).await["events"].to_string();
    assert_eq!(events.matches("execution.result_injected").count(), 1, "{events}");
    server.stop().await;
    let output = server.command(&["rebuild", "--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn failures_and_cancellations_come_to_the_chat_as_such_and_a_kill_after_one_changes_nothing()
{
    let mut server = Server::start(&[]).await;
    let gate = chat_agent(&server, 3).await;
    let ada = Person::of(&server, "ada").await;
    let session = ada.open(&server, "bot").await;
    let fails = background_id(&ada.say(&server, &session, "background trouble").await);
    let stopped = background_id(&ada.say(&server, &session, "background nothing").await);
    server.await_output("bot", &stopped, "looking for nothing").await;
    // Who follows the chat of another user is recorded as a reader of its runs; its own user is not.
    let admin = Person { key: server.key.clone(), client: ada.client.clone() };
    for (person, recorded) in [(&ada, false), (&admin, true)] {
        let mut stream = person.stream(&server, &session).await;
        stream.next("output", |data| data["execution_id"] == json!(fails)).await;
        let (_, reads) = server.get("/api/events?type=access.read").await;
        assert_eq!(reads.to_string().contains(&fails), recorded, "{reads}");
    }
    // Stopped from the chat, by the user that it belongs to.
    let path = format!("/api/agents/bot/executions/{stopped}/terminate");
    let (status, answer) = ada.post(&server, &path, json!({})).await;
    assert_eq!(status, 202, "{answer}");
    let one = |shown: &Value| results(shown).len() == 1;
    let shown = ada.await_session(&server, &session, "stopped", one).await;
    assert_eq!(results(&shown)[0]["status"], "cancelled");
    server.stop().await;
    server.start_again_with(&[("EXECUTION_LEDGER_FAIL_AT", "manager.injected")]).await;
    std::fs::write(&gate, "open").expect("a gate");
    server.await_exit().await;
    server.start_again_with(&[]).await;
    let both = |shown: &Value| results(shown).len() == 2;
    let shown = ada.await_session(&server, &session, "both", both).await;
    assert_eq!(results(&shown)[1]["status"], "failed", "{shown}");
    let turn = ada.say(&server, &session, "and?").await;
    let given = turn["response"].as_str().expect("a response");
    assert!(given.contains(&format!("Background task {stopped}, cancelled.")), "{given}");
    assert!(given.contains(&format!("Background task {fails}, failed (agent_failed).")), "{given}");
    for task in [&fails, &stopped] {
        let events = server.execution("bot", task).await["events"].to_string();
        assert_eq!(events.matches("execution.result_injected").count(), 1, "{events}");
    }
}

#[tokio::test]
async fn a_message_whose_post_was_cut_off_by_a_kill_is_healed_by_the_same_key() {
    let mut server = Server::start(&[("EXECUTION_LEDGER_FAIL_AT", "tasks.message_posted")]).await;
    server.register("echo", &["/bin/echo", "-n"], json!({})).await;
    let ada = Person::of(&server, "ada").await;
    let session = ada.open(&server, "echo").await;
    let path = format!("/api/sessions/{session}/messages");
    let post = |server: &Server, key: &str| {
        let request = ada.request(server, Method::POST, &path).header("Idempotency-Key", key);
        ada.send(request.json(&json!({"message": "one"})))
    };
    assert_eq!(post(&server, "k-1").await.0, 0, "the server died");
    server.await_exit().await;
    server.start_again_with(&[]).await;
    let shown = ada.await_session(&server, &session, "shown", |_| true).await;
    assert_eq!(shown["entries"], json!([]), "nothing was acknowledged");
    let other = ada.say(&server, &session, "two").await;
    assert_eq!(other["response"], "two");
    let (status, healed) = post(&server, "k-1").await;
    assert_eq!((status, &healed["response"]), (200, &json!("one")), "{healed}");
    let (_, again) = post(&server, "k-1").await;
    assert_eq!(again["execution_id"], healed["execution_id"]);
    let shown = ada.await_session(&server, &session, "shown", |_| true).await;
    let entries = shown["entries"].as_array().expect("entries");
    assert_eq!(entries.iter().map(|e| &e["response"]).collect::<Vec<_>>(), ["two", "one"]);
}

#[tokio::test]
async fn the_simulated_agent_obeys_its_user_and_not_the_background_tasks_that_it_is_told_of() {
    let server = Server::start(&[]).await;
    let ada = Person::of(&server, "ada").await;
    let session = ada.open(&server, "demo").await;
    let task = json!({"message": "fail", "inject_result": true, "chat_session_id": session});
    let (_, failed) = ada.post(&server, "/api/agents/demo/task", task).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    let one = |shown: &Value| results(shown).len() == 1;
    ada.await_session(&server, &session, "the failure", one).await;
    let turn = ada.say(&server, &session, "hello").await;
    assert_eq!(turn["status"], "completed", "{turn}");
    let shown = ada.await_session(&server, &session, "told", one).await;
    assert_eq!(results(&shown)[0]["told"], true, "{shown}");
}

#[tokio::test]
async fn turns_run_one_after_the_other_in_the_agents_own_session_also_from_an_execution_on() {
    let server = Server::start(&[]).await;
    let ada = Person::of(&server, "ada").await;
    let (_, first) =
        ada.post(&server, "/api/agents/demo/task", json!({"message": "lines 1"})).await;
    let body = json!({"agent_name": "demo", "execution_id": first["execution_id"]});
    let (status, session) = ada.post(&server, "/api/sessions", body).await;
    assert_eq!((status, &session["continues"]["execution_id"]), (201, &first["execution_id"]));
    let id = session["session_id"].as_str().expect("an id");
    let path = format!("/api/sessions/{id}/messages");
    let mut stream = ada.stream(&server, id).await;
    for message in ["sleep 1", "two"] {
        let body = json!({"message": message, "async_mode": true});
        let (status, accepted) = ada.post(&server, &path, body).await;
        assert_eq!(status, 202, "{accepted}");
    }
    let partial = stream.next("output", |data| data["kind"] == "text").await;
    assert_eq!(partial["part"], "turn");
    for message in ["sleep 1", "two"] {
        let of = |data: &Value| data["execution"]["message"] == message;
        let ended = stream.next("ended", of).await;
        assert_eq!(ended["execution"]["agent_session_id"], first["agent_session_id"], "{ended}");
        assert!(ended["execution"]["response"].is_string());
    }
    let shown = ada.await_session(&server, id, "shown", |_| true).await;
    let entries = shown["entries"].as_array().expect("entries");
    let times: Vec<_> = entries.iter().map(|e| (&e["started_at"], &e["completed_at"])).collect();
    assert!(times[0].1.as_str() <= times[1].0.as_str(), "one after the other: {times:?}");

    let body = json!({"agent_name": "demo", "execution_id": uuid::Uuid::now_v7()});
    let (status, problem) = ada.post(&server, "/api/sessions", body).await;
    assert_eq!((status, &problem["code"]), (422, &json!("not_continuable")), "{problem}");
}

#[tokio::test]
async fn a_closed_session_cancels_what_waits_and_refuses_what_comes() {
    let server = Server::start(&[]).await;
    let gate = chat_agent(&server, 1).await;
    let ada = Person::of(&server, "ada").await;
    let session = ada.open(&server, "bot").await;
    let task = background_id(&ada.say(&server, &session, "background late").await);
    let path = format!("/api/sessions/{session}/messages");
    let mut turns = Vec::new();
    for message in ["work one", "work two"] {
        let body = json!({"message": message, "async_mode": true});
        let (status, accepted) = ada.post(&server, &path, body).await;
        assert_eq!(status, 202, "{accepted}");
        turns.push(accepted["execution_id"].as_str().expect("an id").to_owned());
    }
    server.await_running("bot", &turns[0]).await;
    let own = format!("/api/sessions/{session}");
    for _ in 0..2 {
        let (status, closed) = ada.send(ada.request(&server, Method::DELETE, &own)).await;
        assert_eq!((status, &closed["status"]), (200, &json!("closed")), "{closed}");
    }
    let waiting = server.await_end("bot", &turns[1]).await;
    assert_eq!(waiting["status"], "cancelled", "{waiting}");
    let events = waiting["events"].to_string();
    assert!(events.contains("session_closed"), "{events}");
    let (status, problem) = ada.post(&server, &path, json!({"message": "x"})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("session_closed")), "{problem}");
    std::fs::write(&gate, "open").expect("a gate");
    assert_eq!(server.await_end("bot", &turns[0]).await["status"], "completed", "it may end");
    let refused = |record: &Value| record["injection_refused"] == "session_closed";
    let record = server.await_record("bot", &task, "refused", refused).await;
    assert_eq!(
        (&record["status"], &record["result_injected"]),
        (&json!("completed"), &json!(false))
    );
}

#[tokio::test]
async fn nobody_reads_or_uses_the_session_of_another_user() {
    let server = Server::start(&[]).await;
    server.register("echo", &["/bin/echo", "-n"], json!({})).await;
    let (ada, bob) = (Person::of(&server, "ada").await, Person::of(&server, "bob").await);
    let session = ada.open(&server, "echo").await;
    ada.say(&server, &session, "secret").await;
    let (_, before) = server.get("/api/executions").await;
    let own = format!("/api/sessions/{session}");
    let task = |session: &str, inject: bool| json!({"message": "x", "chat_session_id": session, "inject_result": inject});
    let unknown = uuid::Uuid::now_v7().to_string();
    let path = "/api/agents/echo/task";
    let hello = json!({"message": "x"});
    let refused = [
        (bob.get(&server, &own).await, 404, "session_not_found"),
        (bob.get(&server, &format!("{own}/stream")).await, 404, "session_not_found"),
        (bob.post(&server, &format!("{own}/messages"), hello).await, 404, "session_not_found"),
        (bob.send(bob.request(&server, Method::DELETE, &own)).await, 404, "session_not_found"),
        (bob.post(&server, path, task(&session, true)).await, 403, "session_not_owned"),
        (bob.post(&server, path, task(&unknown, true)).await, 404, "session_not_found"),
        (
            bob.post(&server, path, json!({"message": "x", "inject_result": true})).await,
            422,
            "session_required",
        ),
        // The administrator sees all sessions and speaks in none but their own.
        (
            answered(server.post(&format!("{own}/messages"), json!({"message": "x"})).await),
            403,
            "session_not_owned",
        ),
    ];
    for ((status, problem), expected, code) in refused {
        assert_eq!((status, &problem["code"]), (expected, &json!(code)), "{problem}");
    }
    let (_, list) = bob.get(&server, "/api/sessions").await;
    assert_eq!(list["sessions"], json!([]));
    let (_, list) = server.get("/api/sessions?user=ada&status=open").await;
    assert_eq!(list["sessions"][0]["session_id"], json!(session));
    let (_, after) = server.get("/api/executions").await;
    assert_eq!(before, after, "nothing was changed");
}

fn answered((status, body): (StatusCode, Value)) -> (u16, Value) {
    (status.as_u16(), body)
}

#[tokio::test]
async fn a_chat_is_held_on_the_command_line() {
    let server = Server::start(&[]).await;
    let run = |arguments: &[&str]| {
        let output = server.command(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (told, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}\n{told}\n{errors}");
        told
    };
    let opened: Value = serde_json::from_str(&run(&["sessions", "open", "demo"])).expect("JSON");
    let id = opened["session_id"].as_str().expect("an id");
    let turn: Value =
        serde_json::from_str(&run(&["sessions", "post", id, "lines 1"])).expect("JSON");
    assert_eq!((&turn["status"], &turn["triggered_by"]), (&json!("completed"), &json!("chat")));
    let shown = run(&["sessions", "post", id, "and again", "--table"]);
    assert!(shown.contains("looking at three files"), "the answer while it is made: {shown}");
    let listed = run(&["sessions", "--table"]);
    assert!(listed.contains(id) && listed.contains("lines 1"), "{listed}");
    let shown = run(&["sessions", "show", id, "--table"]);
    assert!(shown.contains("and again") && shown.contains("(completed)"), "{shown}");
    run(&["sessions", "close", id]);
    let closed: Value = serde_json::from_str(&run(&["sessions", "show", id])).expect("JSON");
    assert_eq!(closed["status"], "closed");
    let refused = server.command(&["sessions", "post", id, "more"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("closed"));
}
