//! A ledger that is killed between each two steps of a sale: one execution and at most one charge, and a
//! record that tells the truth.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::shop::{PRICE, PURSE, Shop, payment_in};
use super::stage::Payer;
use crate::support::{Dice, PATIENCE};

/// The steps between which the ledger is killed before the money has moved. Whoever signed shows his
/// payment again, and the ledger goes on.
const BEFORE_THE_MONEY: [&str; 3] =
    ["paid.before_verified", "paid.verified", "paid.settlement_requested"];
/// The same after it has moved. The ledger goes on by itself.
const AFTER_THE_MONEY: [&str; 3] = ["paid.settle_answered", "paid.settled", "paid.accepted"];
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Rounds of killing the ledger at a random moment.
const ROUNDS: u64 = 8;
/// Sales that are under way then, each asked for twice at once.
const SALES: u8 = 3;

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("our server");
}

/// Pays while the ledger is to die at this step, and starts it again: what the client was told.
async fn pay_into_a_kill(shop: &mut Shop, payer: &Payer, step: &str) -> Value {
    shop.start_again_to_die_at(step).await;
    let answer = shop.pay(payer, step).await;
    assert_eq!(answer["status"], json!(null), "{step}: it died before it answered: {answer}");
    shop.server.await_exit().await;
    shop.start_again_with(&[]).await;
    answer
}

/// The payment answers the execution that it paid for, and took nothing more.
async fn assert_shown_again(shop: &Shop, payer: &Payer, payment: &str, message: &str) {
    let again = shop.show(payment, message).await;
    assert!(again["status"] == 202 || again["status"] == 200, "{message}: {again}");
    let execution = shop.assert_sold_once(payer, payment).await;
    assert_eq!(again["body"]["execution_id"], execution["execution_id"], "{message}: {again}");
}

#[tokio::test]
async fn a_kill_before_the_money_has_moved_leaves_a_payment_that_is_good_still() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    for (round, step) in (1_u64..).zip(BEFORE_THE_MONEY) {
        let answer = pay_into_a_kill(&mut shop, &payer, step).await;
        let payment = payment_in(&answer);
        assert_eq!(shop.stage.transactions_of(&payment).await, Vec::<String>::new(), "{step}");
        let record = shop.record(&payment).await;
        let status = record.as_ref().map_or(&Value::Null, |record| &record["status"]);
        let truth = match step {
            "paid.before_verified" => json!(null),
            "paid.verified" => json!("verified"),
            _ => json!("settlement_unknown"),
        };
        // The ledger notes that it died while it asked for the money once it looks at it.
        let begun = *status == json!("settlement_requested");
        assert!(*status == truth || begun, "{step}: {record:?}");
        assert_shown_again(&shop, &payer, &payment, step).await;
        assert_eq!(shop.stage.balance(&payer.address).await, PURSE - round * PRICE, "{step}");
    }
}

#[tokio::test]
async fn a_kill_after_the_money_has_moved_loses_neither_the_charge_nor_the_run() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    for (round, step) in (1_u64..).zip(AFTER_THE_MONEY) {
        let answer = pay_into_a_kill(&mut shop, &payer, step).await;
        let payment = payment_in(&answer);
        shop.assert_sold_once(&payer, &payment).await;
        assert_shown_again(&shop, &payer, &payment, step).await;
        assert_eq!(shop.stage.balance(&payer.address).await, PURSE - round * PRICE, "{step}");
    }
}

#[tokio::test]
async fn money_that_moves_while_the_ledger_is_down_is_found_by_the_next_start() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "wait").await;
    let offer = shop.offer().await;
    let made = json!({"key": payer.key, "accepted": offer["accepts"][0]});
    let payment = payment_in(&shop.stage.ask("forge", made).await);
    let (asked, ()) = tokio::join!(shop.show(&payment, "Say hello"), async {
        let began = Instant::now();
        while shop.facilitator.log().await["waiting"] != 1 {
            assert!(began.elapsed() < PATIENCE, "the facilitator is never asked");
            tokio::time::sleep(LOOK).await;
        }
        kill(shop.server.pid());
    });
    assert_eq!(asked["status"], json!(null), "it died before it answered: {asked}");
    shop.server.await_exit().await;
    shop.facilitator.misbehave("settle", "none").await;
    let began = Instant::now();
    while shop.stage.transactions_of(&payment).await.is_empty() {
        assert!(began.elapsed() < PATIENCE, "the facilitator never settles");
        tokio::time::sleep(LOOK).await;
    }
    shop.start_again_with(&[]).await;
    shop.assert_sold_once(&payer, &payment).await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);
    let record = shop.record(&payment).await.expect("a record");
    let facts = shop.facts_of(&record).await;
    assert_eq!(facts, ["verified", "settlement_requested", "settlement_unknown", "settled"]);
}

#[tokio::test]
async fn kills_at_random_moments_of_several_sales_charge_once_and_run_once() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let faults = ["none", "cut", "then_cut", "then_500", "then_pending", "then_failure"];
    let mut paid = Vec::new();
    for round in 0..ROUNDS {
        let fault = faults[usize::try_from(dice.below(6)).expect("an index")];
        shop.facilitator.misbehave("settle", fault).await;
        let offer = shop.offer().await;
        let mut payments = Vec::new();
        for _ in 0..SALES {
            let made = json!({"key": payer.key, "accepted": offer["accepts"][0]});
            payments.push(payment_in(&shop.stage.ask("forge", made).await));
        }
        let message = format!("round {round}");
        let asked = payments.iter().map(|payment| shop.show_at_once(payment, &message, 2));
        let moment = Duration::from_millis(dice.below(150));
        let (_, ()) = tokio::join!(futures::future::join_all(asked), async {
            tokio::time::sleep(moment).await;
            kill(shop.server.pid());
        });
        shop.server.await_exit().await;
        shop.facilitator.misbehave("settle", "none").await;
        shop.start_again_with(&[]).await;
        paid.extend(payments.into_iter().map(|payment| (payment, message.clone())));
    }
    for (payment, message) in &paid {
        // Whoever was not answered shows his payment again, until he is.
        let again = shop.show(payment, message).await;
        assert!(again["status"] == 202 || again["status"] == 200, "{message}: {again}");
    }
    for (payment, _) in &paid {
        shop.assert_sold_once(&payer, payment).await;
    }
    let sales = ROUNDS * u64::from(SALES);
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - sales * PRICE);
    assert_eq!(shop.sold().await.len() as u64, sales);
    shop.server.stop().await;
    let output = shop.server.command(&["rebuild", "--check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_kill_around_a_refund_owes_it_once() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    for step in ["paid.before_refund_owed", "paid.refund_owed"] {
        shop.start_again_to_die_at(step).await;
        let payment = payment_in(&shop.pay(&payer, "fail").await);
        shop.server.await_exit().await;
        shop.start_again_with(&[]).await;
        let record = shop.await_status(&payment, "refund_owed").await;
        shop.assert_charged_once(&payer, &payment, &record).await;
        let facts = shop.facts_of(&record).await;
        let expected = ["verified", "settlement_requested", "settled", "refund_owed"];
        assert_eq!(facts, expected, "{step}");
    }
    assert_eq!(shop.sold().await.len(), 2);
}

#[tokio::test]
async fn a_kill_between_asking_the_chain_and_recording_its_answer_loses_nothing() {
    let mut shop = Shop::open().await;
    let payer = shop.payer().await;
    shop.facilitator.misbehave("settle", "then_cut").await;
    shop.start_again_to_die_at("paid.before_reconciled").await;
    let payment = payment_in(&shop.pay(&payer, "Say hello").await);
    shop.server.await_exit().await;
    shop.start_again_with(&[]).await;
    shop.assert_sold_once(&payer, &payment).await;
    assert_eq!(shop.stage.balance(&payer.address).await, PURSE - PRICE);

    // What was written down through all this is whole, and the read models follow from it alone.
    shop.server.stop().await;
    for check in [&["rebuild", "--check"][..], &["verify"]] {
        let output = shop.server.command(check);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{check:?}: {told}");
    }
}
