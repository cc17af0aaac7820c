//! Roles: every route with every role, and what each role is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use execution_ledger_api::description;
use execution_ledger_domain::{Right, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::{Listening, PATIENCE, Server};

/// An operation of the interface and what it says that it asks for.
struct Route {
    method: Method,
    path: String,
    right: String,
    roles: Vec<String>,
}

impl Route {
    /// A path that is routed so, and names nothing that there is.
    fn filled(&self) -> String {
        let nothing = Uuid::nil().to_string();
        let parts = self.path.split('/').map(|part| match part {
            "{name}" | "{agent}" => "none",
            part if part.starts_with('{') => &nothing,
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

fn routes() -> Vec<Route> {
    let description = serde_json::to_value(description()).expect("JSON");
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let right = text(&operation["x-access"]["right"]);
            let roles = operation["x-access"]["roles"].as_array();
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                right: right.unwrap_or_else(|| panic!("{method} {path} declares no right")),
                roles: roles.expect("roles").iter().filter_map(text).collect(),
            });
        }
    }
    routes.sort_by(|one, other| one.path.cmp(&other.path));
    routes
}

/// A key of each role; the agent's is of the agent `own`.
async fn keys(server: &Server) -> BTreeMap<&'static str, String> {
    server.paused_agent("own").await;
    let mut keys = BTreeMap::new();
    for role in Role::ALL {
        let agent = (role == Role::Agent).then_some("own");
        let body = json!({"name": format!("{role}-key"), "role": role, "agent": agent});
        keys.insert(role.as_str(), server.issue(&body).await.1);
    }
    keys
}

/// The status and, of a refusal, the code, over a connection of its own. A stream is not waited for.
async fn answer_to(server: &Listening, key: &str, route: &Route) -> (u16, String) {
    let body = if route.method == Method::GET { "" } else { "{}" };
    let request = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n\r\n{body}",
        route.method,
        route.filled(),
        server.address,
        body.len(),
    );
    let mut connection = TcpStream::connect(server.address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    loop {
        let read = tokio::time::timeout(PATIENCE, connection.read_buf(&mut answer)).await;
        let ended = read.expect("an answer in time").expect("an answer") == 0;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(!ended, "half an answer: {text}");
            continue;
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("a status");
        if !matches!(status, 401 | 403 | 429) {
            return (status, String::new());
        }
        if let Ok(problem) = serde_json::from_str::<Value>(body) {
            return (status, problem["code"].as_str().unwrap_or_default().to_owned());
        }
        assert!(!ended, "no problem: {text}");
    }
}

#[tokio::test]
async fn every_route_lets_in_the_roles_that_it_declares_and_no_other() {
    let server = Server::start().await;
    let keys = keys(&server).await;
    let listening = server.listen().await;
    let head = server.head().await;
    let mut refused = 0;
    for route in routes() {
        let what = format!("{} {}", route.method, route.path);
        if let Some(right) = Right::named(&route.right) {
            let by_table = Role::ALL.into_iter().filter(|role| role.has(right));
            assert_eq!(route.roles, by_table.map(Role::as_str).collect::<Vec<_>>(), "{what}");
        }
        for (role, key) in &keys {
            let (status, code) = answer_to(&listening, key, &route).await;
            let may = route.roles.iter().any(|name| name == role);
            assert_eq!(code != "forbidden", may, "{what} as {role}: {status} {code}");
            assert_eq!(status == 403 && code == "forbidden", !may, "{what} as {role}");
            let stranger_may = route.right == "none";
            assert!(stranger_may || status != 401, "{what} as {role}");
            refused += usize::from(!may);
        }
        let (status, code) = answer_to(&listening, "elk_nobody", &route).await;
        if route.right != "none" && code != "too_many_failures" {
            assert_eq!(status, 401, "{what} without a key");
        }
    }
    assert!(refused > 30, "{refused}");
    assert_eq!(
        server.head().await,
        head,
        "what was refused, and what named nothing, left no trace"
    );
}

const HEAD: &str = "# Who may do what

<!-- Generated from the router by `UPDATE_DOCS=1 cargo test -p execution-ledger-api --test http roles`. -->

Every route, the right that it asks for, and the roles that have it. What a role sees through a route
is narrowed further by the caller's scope: a `user` sees what belongs to the key's user, an `agent`
what its agent ran or started; both give tasks only to the agents of their key. A run token counts as
`agent`, for the user of its run alone. `none` needs no key; `any_key` looks no further than that the
key holds, and what is done behind it is looked at there.
";

#[test]
fn the_page_of_roles_says_what_the_routes_ask_for() {
    let mut page = HEAD.to_owned();
    let roles = Role::ALL.map(Role::as_str);
    write!(page, "\n| route | right | {} |\n", roles.join(" | ")).expect("a string");
    writeln!(page, "|---|---|{}", "---|".repeat(roles.len())).expect("a string");
    for route in routes() {
        let may = roles.map(|role| if route.roles.iter().any(|r| r == role) { "yes" } else { "" });
        let Route { method, path, right, .. } = &route;
        writeln!(page, "| `{method} {path}` | `{right}` | {} |", may.join(" | "))
            .expect("a string");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ROLES.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/ROLES.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/ROLES.md is stale: run this test with UPDATE_DOCS=1");
}

#[tokio::test]
async fn what_a_role_may_not_is_refused_by_its_code_and_changes_nothing() {
    let server = Server::start().await;
    let keys = keys(&server).await;
    server.paused_agent("a").await;
    let task = json!({"message": "x", "async_mode": true});
    let user = |name: &str| json!({"name": name, "role": "user", "may_call": ["a"]});
    let (_, ada) = server.issue(&user("ada")).await;
    let (_, bob) = server.issue(&user("bob")).await;
    let (gone, revoked) = server.issue(&user("cleo")).await;
    let submitted = server.call_as(&ada, Method::POST, "/api/agents/a/task", &task).await;
    assert_eq!(submitted.status, StatusCode::ACCEPTED, "{}", submitted.text);
    let id = submitted.json()["execution_id"].as_str().expect("an id").to_owned();
    let own = format!("/api/agents/a/executions/{id}");
    let answer = server.call(Method::DELETE, &format!("/api/keys/{gone}"), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    server.reached(&answer).await;

    let head = server.head().await;
    let key = |role: &str| keys[role].as_str();
    let (get, post) = (Method::GET, Method::POST);
    let log = format!("{own}/log");
    let stop = format!("{own}/terminate");
    let nothing = json!({});
    let new_key = json!({"name": "more", "role": "admin"});
    for (whose, method, path, body, code) in [
        (revoked.as_str(), &get, "/api/me", &nothing, "unauthorized"),
        (key("agent"), &post, "/api/agents/a/task", &task, "agent_not_callable"),
        (bob.as_str(), &post, "/api/agents/own/task", &task, "agent_not_callable"),
        (key("auditor"), &post, "/api/agents/a/task", &task, "forbidden"),
        (key("auditor"), &post, stop.as_str(), &nothing, "forbidden"),
        (key("auditor"), &post, "/api/agents/a/pause", &nothing, "forbidden"),
        (key("billing"), &get, log.as_str(), &nothing, "forbidden"),
        (key("billing"), &get, own.as_str(), &nothing, "forbidden"),
        (bob.as_str(), &get, own.as_str(), &nothing, "execution_not_found"),
        (bob.as_str(), &get, log.as_str(), &nothing, "execution_not_found"),
        (bob.as_str(), &post, stop.as_str(), &nothing, "execution_not_found"),
        (bob.as_str(), &get, "/api/agents/own", &nothing, "agent_not_found"),
        (bob.as_str(), &get, "/api/agents/own/capacity", &nothing, "agent_not_found"),
        (key("operator"), &post, "/api/keys", &new_key, "forbidden"),
        (key("operator"), &Method::PUT, "/api/agents/a", &nothing, "forbidden"),
        (key("auditor"), &Method::DELETE, "/api/agents/a", &nothing, "forbidden"),
        (key("user"), &get, "/api/events", &nothing, "forbidden"),
    ] {
        let answer = server.call_as(whose, method.clone(), path, body).await;
        assert_eq!(answer.code(), code, "{method} {path}: {}", answer.text);
    }
    for (whose, claimed) in [(key("agent"), "a"), (key("user"), "own"), (key("admin"), "own")] {
        let request = Server::request_with(whose, get.clone(), "/api/agents");
        let request = request.header("x-source-agent", claimed).body(Body::empty());
        let answer = server.send(request.expect("a request")).await;
        assert_eq!(answer.problem().1, "source_agent_mismatch", "{claimed}");
    }
    let request = Server::request_with(key("agent"), get, "/api/agents");
    let request = request.header("x-source-agent", "own").body(Body::empty());
    assert_eq!(server.send(request.expect("a request")).await.status, StatusCode::OK);
    assert_eq!(server.head().await, head, "nothing was recorded of what was refused");
}

#[tokio::test]
async fn a_role_sees_its_part_of_the_ledger() {
    let server = Server::start().await;
    let keys = keys(&server).await;
    server.paused_agent("a").await;
    let task = json!({"message": "x", "async_mode": true});
    let (_, ada) = server.issue(&json!({"name": "ada", "role": "user", "may_call": ["a"]})).await;
    let mine = server.call_as(&ada, Method::POST, "/api/agents/a/task", &task).await.json();
    let as_agent =
        server.call_as(&keys["agent"], Method::POST, "/api/agents/own/task", &task).await;
    assert_eq!(as_agent.status, StatusCode::ACCEPTED, "{}", as_agent.text);
    let (other, position) = server.submit("a", "not hers").await;

    let seen = async |key: &str| {
        let path = format!("/api/executions?wait_for={position}");
        let list = server.call_as(key, Method::GET, &path, &json!({})).await.json();
        let rows = list["executions"].as_array().expect("rows").clone();
        rows.iter().map(|row| row["execution_id"].as_str().expect("an id").to_owned()).collect()
    };
    let own: Vec<String> = seen(&ada).await;
    assert_eq!(own, [mine["execution_id"].as_str().expect("an id")]);
    let of_agent: Vec<String> = seen(&keys["agent"]).await;
    assert_eq!(of_agent, [as_agent.json()["execution_id"].as_str().expect("an id")]);
    let all: Vec<String> = seen(&keys["auditor"]).await;
    assert!(all.len() == 3 && all.contains(&other));

    let agents = server.call_as(&ada, Method::GET, "/api/agents", &json!({})).await.json();
    let names: Vec<_> =
        agents["agents"].as_array().expect("rows").iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["a"]);
    assert_eq!(agents["agents"][0]["command"], Value::Null);
    let path = format!("/api/agents/own/executions/{}", of_agent[0]);
    let record = server.call_as(&keys["agent"], Method::GET, &path, &json!({})).await.json();
    assert_eq!(record["triggered_by"], "self_task");
    assert_eq!(record["source_agent"], "own");

    let me = server.call_as(&ada, Method::GET, "/api/me", &json!({})).await.json();
    assert_eq!(
        (&me["role"], &me["user"], &me["may_call"]),
        (&json!("user"), &json!("ada"), &json!(["a"]))
    );
    assert_eq!(me["rights"], json!(["operate", "read", "read_costs", "chat", "read_sessions"]));
    let costs = server.call_as(&keys["billing"], Method::GET, "/api/costs", &json!({})).await;
    assert_eq!(costs.status, StatusCode::OK);
}
