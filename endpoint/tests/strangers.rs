//! What an endpoint does for those that it does not know: nothing that costs.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eventstore::{Client, Error, SubscribeToAllOptions, SubscriptionFilter};
use execution_ledger_endpoint::{
    Admitted, Authority, Basic, Call, OpenStore, Peer, Refusal, Serve, Serving, serve,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Knows nobody.
struct Closed;

#[async_trait]
impl Authority for Closed {
    async fn admit(&self, _: Option<&Basic>, _: Peer, _: &Call) -> Result<Admitted, Refusal> {
        Err(Refusal::Unauthenticated("it is not known who you are".to_owned()))
    }
}

async fn closed() -> Serving {
    let log = OpenStore::in_memory().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(listener, Serve { log, authority: Arc::new(Closed), tls: None }).unwrap()
}

#[tokio::test]
async fn a_stranger_takes_no_place_by_beginning_to_append_and_sending_nothing() {
    let serving = closed().await;
    let stream = TcpStream::connect(serving.address()).await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let begun = http::Request::post("http://ledger/event_store.client.streams.Streams/BatchAppend")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (answer, _nothing_yet) = calls.send_request(begun.body(()).unwrap(), false).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    let status = answer.headers().get("grpc-status").map(http::HeaderValue::as_bytes);
    assert_eq!(status, Some(&b"16"[..]), "the call goes on: {:?}", answer.headers());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_filter_is_not_looked_at() {
    let serving = closed().await;
    let wrong = SubscriptionFilter::on_stream_name().regex("(");
    let options = SubscribeToAllOptions::default().filter(wrong);
    let settings = format!("esdb://{}?tls=false&tlsCaFile=/dev/null", serving.address());
    let client = Client::new(settings.parse().unwrap()).unwrap();
    let mut subscription = client.subscribe_to_all(&options).await;
    let refused = timeout(PATIENCE, subscription.next_subscription_event()).await.unwrap();
    // Not that the expression is wrong.
    assert!(matches!(refused, Err(Error::AccessDenied)), "{:?}", refused.err());
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_said_is_closed() {
    let serving = closed().await;
    let mut silent = TcpStream::connect(serving.address()).await.unwrap();
    let mut said = Vec::new();
    let ended = timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    assert!(ended.is_ok(), "it keeps its place for ever");
}
