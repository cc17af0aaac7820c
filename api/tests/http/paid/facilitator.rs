//! A facilitator that does as it is told: for faults alone. What a real one does is shown by the tests of
//! the whole product.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// What it is asked for.
    Well,
    /// Say no, before anything is sent to the chain.
    Refuse,
    /// Say that it went wrong, and not what.
    Vague,
    /// Answer 500.
    Fail,
    /// Answer what nobody understands.
    Garble,
    /// Answer more than anybody reads.
    Flood,
    /// Send the asker elsewhere.
    Redirect,
}

#[derive(Default)]
pub struct Log {
    pub verified: usize,
    pub settled: usize,
}

#[derive(Clone)]
pub struct Facilitator {
    pub address: SocketAddr,
    does: Arc<Mutex<(Does, Does)>>,
    log: Arc<Mutex<Log>>,
}

impl Facilitator {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = Self {
            address: listener.local_addr().expect("an address"),
            does: Arc::new(Mutex::new((Does::Well, Does::Well))),
            log: Arc::default(),
        };
        let router = Router::new()
            .route("/verify", post(verify))
            .route("/settle", post(settle))
            .with_state(own.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        own
    }

    /// From now on it does so when it is asked to verify, and to settle.
    pub fn does(&self, verify: Does, settle: Does) {
        *self.does.lock().expect("a lock") = (verify, settle);
    }

    /// How often it was asked to verify, and to settle.
    pub fn asked(&self) -> (usize, usize) {
        let log = self.log.lock().expect("a lock");
        (log.verified, log.settled)
    }
}

async fn verify(State(own): State<Facilitator>, axum::Json(body): axum::Json<Value>) -> Response {
    own.log.lock().expect("a lock").verified += 1;
    let does = own.does.lock().expect("a lock").0;
    let payer = &body["paymentPayload"]["payload"]["authorization"]["from"];
    let refusal = json!({"isValid": false, "invalidReason": "insufficient_funds", "payer": payer});
    answer(does, json!({"isValid": true, "payer": payer}), refusal)
}

async fn settle(State(own): State<Facilitator>, axum::Json(body): axum::Json<Value>) -> Response {
    own.log.lock().expect("a lock").settled += 1;
    let does = own.does.lock().expect("a lock").1;
    let network = &body["paymentRequirements"]["network"];
    let reason = if does == Does::Vague { "transaction_failed" } else { "insufficient_funds" };
    let refusal =
        json!({"success": false, "errorReason": reason, "transaction": "", "network": network});
    answer(does, json!({"success": true, "transaction": "0xfeed", "network": network}), refusal)
}

fn answer(does: Does, good: Value, refusal: Value) -> Response {
    match does {
        Does::Well => axum::Json(good).into_response(),
        Does::Refuse | Does::Vague => axum::Json(refusal).into_response(),
        Does::Fail => (StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response(),
        Does::Garble => "<html>".into_response(),
        Does::Flood => "x".repeat(1024 * 1024).into_response(),
        Does::Redirect => axum::response::Redirect::temporary("/verify").into_response(),
    }
}
