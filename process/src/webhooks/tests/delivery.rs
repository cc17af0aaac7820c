//! Messages: what they are, when they come again, and what is recorded of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use execution_ledger_domain::webhook::WebhookSettings;
use execution_ledger_projections::DeliveryState::{Dead, Delivered, Pending};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::receiver::{Answer, Came, Receiver};
use super::world::{World, caller, loopback, request, settings};
use crate::webhooks::{ATTEMPTS_MAX, Change, Fault, Tried, WebhookError};

/// Whether one of a message's signatures is by that secret.
fn is_signed_by(came: &Came, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
    let (id, at) = (came.header("webhook-id"), came.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.{}", came.body).as_bytes());
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    came.header("webhook-signature").split(' ').any(|signature| signature == wanted)
}

#[tokio::test]
async fn a_message_is_signed_tells_facts_and_is_recorded_once() {
    let receiver = Receiver::listen().await;
    let mut world = World::new(loopback()).await;
    let registered = world.register(settings(&receiver.url())).await.expect("registered");
    world.end_one().await;
    world.pump().await;
    let came = receiver.came();
    assert_eq!(came.len(), 1);
    assert!(came[0].head.starts_with("POST /hook?a=b HTTP/1.1"), "{}", came[0].head);
    assert_eq!(came[0].header("content-type"), "application/cloudevents+json");
    assert_eq!(came[0].header("webhook-timestamp"), "1795255200");
    assert!(is_signed_by(&came[0], &registered.secret));
    let event: Value = serde_json::from_str(&came[0].body).expect("JSON");
    assert_eq!(event["type"], "execution-ledger.execution_cancelled.v1");
    assert_eq!(
        (&event["data"]["status"], &event["data"]["agent"]),
        (&"cancelled".into(), &"a".into())
    );
    assert!(!came[0].body.contains("do it"), "no texts: {}", came[0].body);
    let row = &world.deliveries(registered.id).await[0];
    assert_eq!((row.state, row.attempts, row.status), (Delivered, Some(1), Some(204)));
    assert_eq!(came[0].header("webhook-id"), row.message.id());

    world.pump().await;
    world.start_again().await;
    world.pump().await;
    assert_eq!(receiver.came().len(), 1, "what was recorded is not sent again");
}

#[tokio::test]
async fn a_message_that_is_not_taken_comes_again_under_its_id_until_it_is_given_up() {
    let receiver = Receiver::listen().await;
    receiver.answer_always(Answer::Status(500));
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    world.end_one().await;
    world.pump().await;
    world.pump().await;
    assert_eq!(receiver.came().len(), 1, "not before its time");
    world.pass(6);
    world.pump().await;
    assert_eq!(receiver.came().len(), 2);
    let standing = world.webhooks.standing(id).expect("a webhook");
    assert_eq!((standing.failures, standing.last.and_then(|last| last.status)), (2, Some(500)));
    for _ in 2..ATTEMPTS_MAX {
        assert_eq!(world.states(id).await, [Pending]);
        world.pass(27 * 3_600);
        world.pump().await;
    }
    let row = &world.deliveries(id).await[0];
    assert_eq!((row.state, row.attempts), (Dead, Some(ATTEMPTS_MAX)));
    assert_eq!((row.status, row.reason.as_deref()), (Some(500), Some("status")));
    world.pass(27 * 3_600);
    world.pump().await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), ATTEMPTS_MAX as usize);
    assert!(ids.iter().all(|id| *id == ids[0]));

    receiver.answer_always(Answer::Status(200));
    let message = row.message;
    let again = world.webhooks.redrive(&caller(), id, Some(message), &request()).await;
    assert_eq!(again.expect("redriven").0, 1);
    world.pump().await;
    assert_eq!(world.states(id).await, [Delivered]);
    assert_eq!(receiver.ids().last(), Some(&ids[0]));
    let twice = world.webhooks.redrive(&caller(), id, Some(message), &request()).await;
    assert!(matches!(twice, Err(WebhookError::NotDead)));
}

#[tokio::test]
async fn what_was_taken_and_not_recorded_is_sent_again_under_the_same_id() {
    let receiver = Receiver::listen().await;
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    world.end_one().await;
    // It dies before it has recorded anything: all that is left is the log and what was sent.
    receiver.answer([Answer::Silence]);
    world.pump().await;
    world.start_again().await;
    world.pump().await;
    let ids = receiver.ids();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(world.states(id).await, [Delivered]);
}

#[tokio::test]
async fn one_message_that_is_never_taken_does_not_hold_up_others() {
    let receiver = Receiver::listen().await;
    receiver.answer([Answer::Status(400)]);
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    world.end_one().await;
    world.pump().await;
    for _ in 0..20 {
        world.end_one().await;
    }
    world.pump().await;
    let states = world.states(id).await;
    assert_eq!(states[0], Pending);
    assert!(states[1..].iter().all(|state| *state == Delivered), "{states:?}");
    assert_eq!(states.len(), 21);
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_what_waited_as_soon_as_it_takes_one() {
    let receiver = Receiver::listen().await;
    receiver.answer_always(Answer::Status(503));
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    for _ in 0..12 {
        world.end_one().await;
    }
    world.pump().await;
    world.pass(6);
    world.pump().await;
    assert!(world.webhooks.standing(id).expect("a webhook").failing_since.is_some());
    receiver.answer_always(Answer::Status(200));
    // One is due; the others, which are not for hours, follow it at once.
    world.pass(400);
    world.pump().await;
    assert!(world.states(id).await.iter().all(|state| *state == Delivered));
    assert_eq!(world.webhooks.standing(id).expect("a webhook").failing_since, None);
}

#[tokio::test]
async fn redirects_are_not_followed_and_bodies_are_not_read_to_their_end() {
    let (receiver, elsewhere) = (Receiver::listen().await, Receiver::listen().await);
    let world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    let failed = |status, reason| Tried::Failed { status, reason };
    for (answer, tried) in [
        (Answer::Redirect(elsewhere.url()), failed(Some(307), Fault::Redirect)),
        (Answer::Giant, Tried::Taken(200)),
        (Answer::Status(299), Tried::Taken(299)),
        (Answer::Status(404), failed(Some(404), Fault::Status)),
        (Answer::Status(410), Tried::Gone),
        (Answer::Silence, failed(None, Fault::Timeout)),
    ] {
        receiver.answer([answer.clone()]);
        let tested = world.webhooks.test(id).await.expect("tried");
        assert_eq!(tested.tried, tried, "{answer:?}");
    }
    assert!(elsewhere.came().is_empty());
    let nobody = settings("http://127.0.0.1:1/");
    let id = world.register(nobody).await.expect("registered").id;
    let tested = world.webhooks.test(id).await.expect("tried");
    assert_eq!(tested.tried, failed(None, Fault::ConnectFailed));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_until_it_is_enabled_again() {
    let receiver = Receiver::listen().await;
    receiver.answer([Answer::Status(410)]);
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    world.end_one().await;
    world.pump().await;
    world.end_one().await;
    world.pass(600);
    world.pump().await;
    assert_eq!(receiver.came().len(), 1);
    assert_eq!(world.states(id).await, [Pending], "what happens meanwhile is not owed");
    let enabled = Change { enabled: Some(true), ..Change::default() };
    world.webhooks.change(&caller(), id, enabled, &request()).await.expect("changed");
    world.pump().await;
    assert_eq!(world.states(id).await, [Delivered]);
}

#[tokio::test]
async fn for_a_day_after_a_rotation_both_secrets_sign() {
    let receiver = Receiver::listen().await;
    let mut world = World::new(loopback()).await;
    let first = world.register(settings(&receiver.url())).await.expect("registered");
    let second = world.webhooks.rotate(&caller(), first.id, &request()).await.expect("rotated");
    assert_ne!(first.secret, second.secret);
    world.end_one().await;
    world.pump().await;
    world.pass(24 * 3_600);
    world.end_one().await;
    world.pump().await;
    let came = receiver.came();
    assert!(is_signed_by(&came[0], &first.secret) && is_signed_by(&came[0], &second.secret));
    assert!(!is_signed_by(&came[1], &first.secret) && is_signed_by(&came[1], &second.secret));
}

#[tokio::test]
async fn changes_hold_for_what_is_sent_next_and_a_deleted_webhook_is_sent_nothing() {
    let (receiver, other) = (Receiver::listen().await, Receiver::listen().await);
    receiver.answer_always(Answer::Status(500));
    let mut world = World::new(loopback()).await;
    let id = world.register(settings(&receiver.url())).await.expect("registered").id;
    world.end_one().await;
    world.pump().await;
    let moved = Change { url: Some(other.url()), ..Change::default() };
    world.webhooks.change(&caller(), id, moved, &request()).await.expect("changed");
    world.pass(6);
    world.pump().await;
    assert_eq!((receiver.came().len(), other.came().len()), (1, 1));
    world.end_one().await;
    world.webhooks.delete(&caller(), id, &request()).await.expect("deleted");
    world.pump().await;
    assert_eq!(other.came().len(), 1);
    let gone = world.webhooks.delete(&caller(), id, &request()).await;
    assert!(matches!(gone, Err(WebhookError::NotFound)));
    let none =
        WebhookSettings { kinds: std::collections::BTreeSet::new(), ..settings("https://a.org") };
    assert!(matches!(world.register(none).await, Err(WebhookError::Field(_))));
}
