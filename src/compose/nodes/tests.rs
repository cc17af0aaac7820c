//! Which company a node keeps, and whom it trusts.

use execution_ledger_store::MemoryBoard;

use super::*;

#[test]
fn authorities_that_can_not_vouch_for_anybody_keep_the_node_from_starting() {
    let temp = tempfile::tempdir().expect("a folder");
    let path = temp.path().join("authority.pem");
    let settings = Settings {
        node_ca_file: Some(path.clone()),
        ..Settings::defaults(temp.path().join("data"), temp.path().join("work"))
    };
    let refused =
        |settings: &Settings| authorities(settings).expect_err("nothing to trust").to_string();
    assert!(refused(&settings).contains("authority.pem"), "there is no such file");
    for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, text).expect("written");
        let problem = refused(&settings);
        assert!(problem.contains("node_ca_file"), "{problem}");
    }
    let none = Settings { node_ca_file: None, ..settings };
    assert!(authorities(&none).expect("nothing was named").is_empty());
}

fn beat(name: &str, secret: &str, lease_ms: u64) -> Beat {
    Beat {
        node: NodeId(Uuid::now_v7()),
        name: name.to_owned(),
        url: format!("http://{name}.example"),
        version: "1.0.0".to_owned(),
        lease_ms,
        secret: Digest::of(secret.as_bytes()),
        leaving: false,
        agents: 0,
        running: 0,
        at: Timestamp::EPOCH,
    }
}

#[tokio::test]
async fn a_node_keeps_no_company_with_one_that_lives_and_has_another_secret() {
    let board: Arc<dyn NodeBoard> = Arc::new(MemoryBoard::default());
    let card = beat("here", "one", 60_000);
    check_company(&board, &card).await.expect("nobody is there");
    board.beat(&card).await.expect("told");
    board.beat(&beat("friend", "one", 60_000)).await.expect("told");
    let leaving = Beat { leaving: true, ..beat("gone", "another", 60_000) };
    board.beat(&leaving).await.expect("told");
    check_company(&board, &card).await.expect("who has our secret, or is leaving, is no stranger");

    let stranger = beat("stranger", "another", 60_000);
    board.beat(&stranger).await.expect("told");
    let telling = tokio::spawn({
        let board = Arc::clone(&board);
        async move {
            loop {
                tokio::time::sleep(LOOK_EVERY / 4).await;
                board.beat(&stranger).await.expect("told");
            }
        }
    });
    let refused = check_company(&board, &card).await.expect_err("it lives").to_string();
    telling.abort();
    assert!(refused.contains("stranger at http://stranger.example"), "{refused}");
    assert!(refused.contains("cluster_secret_file"), "it says what to do: {refused}");
}

#[tokio::test]
async fn a_stranger_that_is_silent_for_its_lease_is_waited_for_and_no_longer() {
    const LEASE_MS: u64 = 700;
    let board: Arc<dyn NodeBoard> = Arc::new(MemoryBoard::default());
    board.beat(&beat("dead", "another", LEASE_MS)).await.expect("told");
    let began = tokio::time::Instant::now();
    check_company(&board, &beat("here", "one", 60_000)).await.expect("it is dead");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(LEASE_MS), "it could have lived: {waited:?}");
    assert!(waited < Duration::from_millis(LEASE_MS) + 10 * LOOK_EVERY, "{waited:?}");
}
