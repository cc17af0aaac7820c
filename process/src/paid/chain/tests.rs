//! What is concluded from what a chain says, and which of its blocks is asked.

use std::sync::{Arc, Mutex};

use execution_ledger_domain::{AgentName, ExecutionId, PaymentId, Timestamp, UserName, given};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn wanted() -> Wanted {
    Wanted {
        asset: "0xaa".to_owned(),
        payer: word_of_address("0xcc"),
        pay_to: word_of_address("0xbb"),
        nonce: "0xd1".to_owned(),
        amount: "0x05".to_owned(),
    }
}

fn used(nonce: &str) -> Value {
    json!({"address": "0xAA", "topics": [AUTHORIZATION_USED, word_of_address("0xCC"), nonce]})
}

fn moved(from: &str, to: &str, amount: &str) -> Value {
    let topics = json!([TRANSFER, word_of_address(from), word_of_address(to)]);
    json!({"address": "0xaa", "topics": topics, "data": amount})
}

#[test]
fn money_came_only_by_the_transfer_that_belongs_to_the_number() {
    let (ours, other) = (used("0xd1"), used("0xd2"));
    let paid = moved("0xcc", "0xbb", "0x05");
    let to_himself = moved("0xcc", "0xcc", "0x01");
    let strangers = moved("0xee", "0xbb", "0x05");
    let judged =
        |logs: &[&Value]| wanted().judge(&logs.iter().copied().cloned().collect::<Vec<_>>());
    assert_eq!(judged(&[&ours, &paid]), Use::Paid);
    assert_eq!(judged(&[&other, &to_himself, &ours, &paid]), Use::Paid);
    assert_eq!(judged(&[&ours, &to_himself]), Use::Elsewhere);
    assert_eq!(judged(&[&ours, &to_himself, &other, &paid]), Use::Elsewhere);
    assert_eq!(judged(&[&other, &paid, &ours, &to_himself]), Use::Elsewhere);
    assert_eq!(judged(&[&ours, &strangers]), Use::Elsewhere);
    assert_eq!(judged(&[&ours, &moved("0xcc", "0xbb", "0x04")]), Use::Elsewhere);
    assert_eq!(judged(&[&paid, &ours]), Use::Unclear, "a token that says it the other way round");
    let mut of_another_token = paid.clone();
    of_another_token["address"] = "0xab".into();
    assert_eq!(judged(&[&ours, &of_another_token]), Use::Elsewhere);
    assert_eq!(judged(&[]), Use::Elsewhere);
}

#[test]
fn numbers_and_addresses_are_written_as_chains_write_them() {
    assert_eq!((hex(0), hex(255)), ("0x0".to_owned(), "0xff".to_owned()));
    assert_eq!(number(&json!("0x10")), Some(16));
    assert_eq!(number(&json!("ten")), None);
    assert_eq!(word_of_address("0xAb"), format!("0x{}ab", "0".repeat(62)));
}

/// The youngest block of the chain of the test.
const LATEST: u64 = 16;

/// A payment that is valid up to this moment, in seconds since 1970.
fn payment(valid_before_s: u64) -> Verified {
    let (agent, user) = (AgentName::new("a").expect("a name"), UserName::new("u").expect("a name"));
    let id = PaymentId::derived("eip155:1", "0xaa", "0xcc", "0xdd");
    let verified = json!({
        "x402_version": 2, "scheme": "exact", "network": "eip155:1", "asset": "0xaa", "amount": "1",
        "pay_to": "0xbb", "payer": "0xcc", "nonce": "0xdd", "valid_after_s": 1,
        "valid_before_s": valid_before_s, "payload_sha256": "00".repeat(32), "resource": "r",
        "facilitator": "f", "asked": {
            "execution_id": ExecutionId::paid_by(id),
            "pending": given::task(agent, user, Timestamp::EPOCH),
        },
    });
    serde_json::from_value(verified).expect("an event")
}

/// A chain where no number was used and whose blocks are 100 s apart: where it is asked, and the blocks
/// that it was asked about.
async fn unused() -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&told)));
        }
    });
    (url.parse().expect("an address"), asked)
}

async fn answer(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    let question: Value = loop {
        if let Some((_, body)) = String::from_utf8_lossy(&bytes).split_once("\r\n\r\n")
            && let Ok(question) = serde_json::from_str(body)
        {
            break question;
        }
        assert!(stream.read_buf(&mut bytes).await.expect("bytes") > 0, "a whole question");
    };
    let (block, result) = match question["method"].as_str() {
        Some("eth_getBlockByNumber") => {
            let which = question["params"][0].clone();
            let number = number(&which).unwrap_or(LATEST);
            (which, json!({"number": hex(number), "timestamp": hex(number * 100)}))
        }
        _ => (question["params"][1].clone(), json!(format!("0x{}", "0".repeat(64)))),
    };
    asked.lock().expect("a list").push(block.as_str().expect("a block").to_owned());
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.expect("written");
}

#[tokio::test]
async fn only_the_block_on_which_enough_others_stand_is_believed() {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    // By the youngest block its time is over, by the one that two others stand on it is not.
    let payment = payment(LATEST * 100 - PAST_VALIDITY_S);
    for (confirmations, found, blocks) in [
        (0, Found::CanNotCome("expired_unused"), vec!["latest", "0x10"]),
        (2, Found::Open, vec!["latest", "0xe", "0xe"]),
        (1_000, Found::Open, vec!["latest", "0x0", "0x0"]),
    ] {
        let (url, asked) = unused().await;
        let chain = Chain::new(url, confirmations).expect("a client");
        assert_eq!(chain.look(&payment, 1).await, Ok(found), "{confirmations}");
        assert_eq!(*asked.lock().expect("a list"), blocks, "{confirmations}");
    }
}
