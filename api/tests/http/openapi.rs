//! The interface's own description.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use execution_ledger_api::description;

use crate::support::Server;

#[test]
fn the_description_is_as_it_was_reviewed() {
    insta::assert_json_snapshot!("openapi", description());
}

#[tokio::test]
async fn every_documented_path_answers_and_says_what_it_needs() {
    let server = Server::start().await;
    let description = serde_json::to_value(description()).expect("JSON");
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = std::collections::HashSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        let filled = path.replace("{name}", "none").replace("{id}", &uuid::Uuid::nil().to_string());
        let documented: Vec<_> =
            methods.as_object().expect("methods").keys().map(|m| m.to_uppercase()).collect();
        let answer = server.call(Method::PATCH, &filled, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path} is not routed");
        let mut known: Vec<_> = answer
            .header("allow")
            .expect("methods")
            .split(',')
            .map(|m| m.trim().to_owned())
            .collect();
        known.retain(|method| method != "HEAD");
        known.sort();
        let mut documented = documented;
        documented.sort();
        assert_eq!(known, documented, "{path}");
        for operation in methods.as_object().expect("methods").values() {
            assert!(operation["summary"].is_string(), "{path} is not described");
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id.clone()), "two operations are called {id}");
            assert!(operation["responses"].is_object(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_pages_load_from_here_alone_and_without_a_key() {
    let server = Server::start().await;
    let get = async |path: &str| {
        let request = Request::builder().uri(path).header("host", "localhost").body(Body::empty());
        server.send(request.expect("a request")).await
    };
    let page = get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"));
    for attribute in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!page.text.contains(attribute), "the page loads from elsewhere: {}", page.text);
    }
    let inline = page.text.matches("<script>").count();
    assert_eq!(inline, 0, "a script stands in the page, which its policy forbids: {}", page.text);
    let script = get("/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
    let description = get("/openapi.json").await;
    assert_eq!(description.header("content-type"), Some("application/json"));
    assert!(description.json()["paths"]["/api/agents/{name}/task"]["post"].is_object());
}
