//! What is no payment is told so, and nothing is taken for it.

use serde_json::{Value, json};

use super::shop::{PRICE, PURSE, Shop, decoded, encoded, payment_in};

#[tokio::test]
async fn who_has_not_paid_is_told_the_price_in_the_words_of_x402() {
    let shop = Shop::open().await;
    let offer = shop.offer().await;
    assert_eq!(offer["x402Version"], 2, "{offer}");
    assert_eq!(offer["resource"]["url"], shop.url(), "{offer}");
    let accepted = &offer["accepts"][0];
    let told = |field| shop.stage.told(field);
    assert_eq!(accepted["scheme"], "exact");
    assert_eq!(accepted["network"], told("network"));
    // Letters' case does not tell addresses apart.
    for (field, name) in [("asset", "asset"), ("payTo", "pay_to")] {
        let offered = accepted[field].as_str().expect("an address");
        assert!(offered.eq_ignore_ascii_case(told(name)), "{accepted}");
    }
    assert_eq!(accepted["amount"], PRICE.to_string());
    assert_eq!(accepted["extra"], json!({"name": told("name"), "version": told("version")}));
    assert_eq!(offer["accepts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_payment_that_the_facilitator_refuses_is_402_and_nothing_is_recorded_as_charged() {
    let shop = Shop::open().await;
    let poor = shop.stage.payer(PRICE - 1).await;
    let answer = shop.pay(&poor, "Say hello").await;
    assert_eq!(answer["status"], 402, "{answer}");
    assert!(answer.to_string().contains("insufficient"), "the reason is told: {answer}");
    assert!(answer["required"]["accepts"].is_array(), "and what would be good: {answer}");
    assert_eq!(shop.stage.balance(&poor.address).await, PRICE - 1);

    let payer = shop.payer().await;
    shop.facilitator.misbehave("verify", "refuse").await;
    let refused = shop.pay(&payer, "Say hello").await;
    assert_eq!(refused["status"], 402, "{refused}");
    shop.facilitator.misbehave("verify", "cut").await;
    let unasked = shop.pay(&payer, "Say hello").await;
    assert_eq!(unasked["status"], 503, "{unasked}");
    for answer in [&answer, &refused, &unasked] {
        let payment = payment_in(answer);
        assert_eq!(shop.record(&payment).await, None, "{answer}");
    }
    assert_eq!(shop.facilitator.log().await["settle"], 0);

    // The same payment is good once the facilitator answers again.
    shop.facilitator.misbehave("verify", "none").await;
    let payment = payment_in(&unasked);
    let answer = shop.show(&payment, "Say hello").await;
    assert_eq!(answer["status"], 202, "{answer}");
    shop.assert_sold_once(&payer, &payment).await;
}

#[tokio::test]
async fn a_settlement_that_the_facilitator_refuses_runs_nothing() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "refuse").await;
    let answer = shop.pay(&payer, "Say hello").await;
    assert_eq!(answer["status"], 402, "{answer}");
    assert!(answer.to_string().contains("insufficient_balance"), "{answer}");
    let payment = payment_in(&answer);
    let record = shop.await_status(&payment, "settlement_failed").await;
    let facts = shop.facts_of(&record).await;
    assert_eq!(facts, ["verified", "settlement_requested", "settlement_failed"]);
    shop.assert_not_sold(&payer, &payment).await;
}

/// Fields of what is accepted or signed that are other than what was offered.
fn forgeries() -> Vec<(&'static str, Value)> {
    let stranger = "0x00000000000000000000000000000000000000aa";
    let zeros = format!("0x{}", "0".repeat(64));
    vec![
        ("a lower price accepted", json!({"accept": {"amount": "1"}})),
        ("another network accepted", json!({"accept": {"network": "eip155:1"}})),
        ("another token accepted", json!({"accept": {"asset": stranger}})),
        ("another seller accepted", json!({"accept": {"payTo": stranger}})),
        ("another scheme accepted", json!({"accept": {"scheme": "upto"}})),
        ("more in what is accepted", json!({"accept": {"note": "?"}})),
        ("a lower price signed", json!({"sign": {"value": "1"}})),
        ("a higher price signed", json!({"sign": {"value": "9999999"}})),
        ("another seller signed", json!({"sign": {"to": stranger}})),
        ("an authorization that has expired", json!({"sign": {"validBefore": "1700000000"}})),
        (
            "one that is not valid yet",
            json!({"sign": {"validAfter": "4000000000", "validBefore": "4000000300"}}),
        ),
        ("another version", json!({"payload": {"x402Version": 1}})),
        ("no signature", json!({"payload": {"payload": {"authorization": {}}}})),
        (
            "a signature of nothing",
            json!({"payload": {"payload": {
                "signature": format!("0x{}", "0".repeat(130)),
                "authorization": {"from": stranger, "to": stranger, "value": "1", "validAfter": "0",
                    "validBefore": "1", "nonce": zeros},
            }}}),
        ),
    ]
}

#[tokio::test]
async fn what_was_not_offered_can_not_be_paid() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let offer = shop.offer().await;
    for (what, changes) in forgeries() {
        let mut asked = json!({"key": payer.key, "accepted": offer["accepts"][0]});
        for (part, change) in changes.as_object().expect("changes") {
            asked[part] = change.clone();
        }
        let payment = payment_in(&shop.stage.ask("forge", asked).await);
        let answer = shop.show(&payment, "Say hello").await;
        let status = answer["status"].as_u64().expect("an answer");
        assert_eq!(status, 402, "{what}: {answer}");
        assert!(answer["body"]["reason"].is_string(), "{what}: {answer}");
        assert!(answer["body"]["detail"].is_string(), "{what}: {answer}");
    }
    assert_eq!(shop.facilitator.log().await["settle"], 0);
    let (_, list) = shop.server.get("/api/payments").await;
    assert_eq!(list["payments"], json!([]));
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE);
}

#[tokio::test]
async fn a_payment_that_can_not_be_read_is_none() {
    let shop = Shop::open().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let unreadable = [
        "!".to_owned(),
        encoded(&json!("text")),
        encoded(&json!([])),
        encoded(&json!({})),
        encoded(&json!({"x402Version": 2})),
        encoded(&json!({"x402Version": 2, "accepted": {}, "payload": deep})),
        encoded(&json!({"x402Version": 1_u64 << 60, "accepted": 7, "payload": null})),
    ];
    for payment in unreadable {
        let answer = shop.show(&payment, "Say hello").await;
        let status = answer["status"].as_u64().expect("an answer");
        assert_eq!(status, 402, "{answer}");
        assert_eq!(answer["body"]["reason"], "malformed_payment", "{answer}");
    }
    assert_eq!(shop.facilitator.log().await["verify"], 0);
}

#[tokio::test]
async fn what_somebody_else_signed_is_not_his_payment() {
    let shop = Shop::open().await;
    let (payer, thief) = (shop.payer().await, shop.payer().await);
    let offer = shop.offer().await;
    let asked = json!({
        "key": thief.key, "accepted": offer["accepts"][0], "sign": {"from": payer.address},
    });
    let payment = payment_in(&shop.stage.ask("forge", asked).await);
    let answer = shop.show(&payment, "Say hello").await;
    assert_eq!(answer["status"], 402, "{answer}");
    shop.assert_not_sold(&payer, &payment).await;
}

#[tokio::test]
async fn a_request_that_can_not_run_is_refused_before_any_money_is_asked_for() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let offer = shop.offer().await;
    let made = json!({"key": payer.key, "accepted": offer["accepts"][0]});
    let payment = payment_in(&shop.stage.ask("forge", made).await);
    let empty = shop.show(&payment, "").await;
    assert_eq!(empty["status"], 422, "{empty}");
    assert_eq!(shop.record(&payment).await, None);
    assert_eq!(shop.facilitator.log().await["settle"], 0);
    // It is good for another request still.
    let answer = shop.show(&payment, "Say hello").await;
    assert_eq!(answer["status"], 202, "{answer}");
    shop.assert_sold_once(&payer, &payment).await;
}

#[tokio::test]
async fn no_signature_is_kept_anywhere() {
    let shop = Shop::open().await;
    let payer = shop.payer().await;
    let settled = payment_in(&shop.pay(&payer, "Say hello").await);
    shop.assert_sold_once(&payer, &settled).await;
    // The facilitator's own words on what went wrong quote the signature.
    let used = shop.stage.ask(
        "forge",
        json!({
            "key": payer.key, "accepted": decoded(&settled)["accepted"],
        }),
    );
    let used = payment_in(&used.await);
    shop.stage.ask("cancel", json!({"key": payer.key, "payment": used})).await;
    shop.show(&used, "Say hello").await;
    for payment in [&settled, &used] {
        let signature = decoded(payment)["payload"]["signature"].clone();
        let signature = signature.as_str().expect("a signature");
        // Its first half stands for it: 32 bytes that nobody else draws.
        let half = signature[2..66].to_owned();
        for text in [half.clone(), half.to_uppercase(), payment[..].to_owned()] {
            let found = holding(shop.server.work_dir(), text.as_bytes());
            assert_eq!(found, Vec::<String>::new(), "{text}");
        }
    }
}

/// The files below a folder that hold these bytes.
fn holding(folder: &std::path::Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path, wanted));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(wanted.len()).any(|window| window == wanted)
        {
            found.push(path.display().to_string());
        }
    }
    found
}
