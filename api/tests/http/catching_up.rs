//! A WebSocket that is still being told of the past.

use std::net::SocketAddr;

use axum::http::{Method, StatusCode};
use execution_ledger_api::serve;
use execution_ledger_domain::execution::{CancelCause, Command, Execution, Pending};
use execution_ledger_domain::{
    Actor, AgentName, Content, ExecutionId, StreamName, Timestamp, UserName, given,
};
use execution_ledger_store::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::support::{PATIENCE, Server};

/// Executions that were stopped before they began: each is one message.
const PAST: usize = 300;
/// What either side of a connection may hold back, in bytes: much less than the past.
const BUFFER_BYTES: u32 = 4 * 1024;

async fn past(server: &Server) {
    let agent = AgentName::new("a").expect("a name");
    let user = UserName::new("ada").expect("a name");
    let (agent, user) = (&agent, &user);
    let stopped = (1..=PAST as u128).map(|number| async move {
        let stream = StreamName::execution(ExecutionId(Uuid::from_u128(number)));
        let message = Content::new([0; 16], "x".repeat(200));
        let task = given::task(agent.clone(), user.clone(), Timestamp::from_micros(1 << 52));
        let submit = Command::Submit(Box::new(Pending { message: message.reference(), ..task }));
        let context = Context {
            actor: Actor::system("test"),
            correlation_id: Some("test".to_owned()),
            causation_id: None,
            traceparent: None,
        };
        let ledger = &server.ledger;
        let done = ledger.execute_new::<Execution>(&stream, submit, &[message], &context).await;
        done.expect("a task");
        let cancel = Command::Cancel { cause: CancelCause::Requested };
        let done = ledger.execute::<Execution>(&stream, cancel, &[], &context).await;
        done.expect("an end");
    });
    stopped.collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
}

/// The server where the system holds back little of what nobody reads yet.
fn listen(server: &Server) -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(BUFFER_BYTES).expect("a size");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let listener = socket.listen(8).expect("a listener");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(
        listener,
        None,
        server.app.clone(),
        |interface| interface,
        std::future::pending(),
    ));
    address
}

#[tokio::test]
async fn revoking_a_key_ends_a_socket_in_the_middle_of_the_past() {
    let server = Server::start().await;
    server.paused_agent("a").await;
    past(&server).await;
    let (id, key) = server.issue(&json!({"name": "ada", "role": "auditor"})).await;
    let address = listen(&server);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(BUFFER_BYTES).expect("a size");
    let connection = socket.connect(address).await.expect("a connection");
    let url = format!("ws://{address}/ws?last_event_id={}-0", server.store.log_id());
    let mut request = url.into_client_request().expect("a request");
    let value = format!("Bearer {key}").parse().expect("a value");
    request.headers_mut().insert("authorization", value);
    let opened = tokio_tungstenite::client_async(request, connection).await;
    let (mut socket, _) = opened.expect("a WebSocket");

    let mut told = 0;
    let closed = loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
        match message.expect("a message").expect("well-formed") {
            Message::Close(frame) => break frame.expect("a reason"),
            _ => told += 1,
        }
        if told == 1 {
            let revoked = server.call(Method::DELETE, &format!("/api/keys/{id}"), "").await;
            assert_eq!(revoked.status, StatusCode::OK, "{}", revoked.text);
        }
    };
    assert_eq!(u16::from(closed.code), 1008, "{}", closed.reason);
    assert!(told < PAST, "all of the past was told after the key was revoked");
}
