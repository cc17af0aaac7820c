//! The rules of a webhook's life.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::Aggregate;
use crate::given::given;
use crate::ids::EventId;
use crate::limits::webhook as limit;
use crate::time::Timestamp;

fn settings() -> WebhookSettings {
    WebhookSettings {
        name: "Billing".to_owned(),
        url: "https://example.org/hook".to_owned(),
        kinds: BTreeSet::from([Kind::RunCost, Kind::ExecutionFailed]),
        enabled: true,
    }
}

fn registered() -> WebhookEvent {
    WebhookEvent::WebhookRegistered(Box::new(WebhookRegistered { settings: settings() }))
}

fn changed(settings: WebhookSettings) -> WebhookEvent {
    WebhookEvent::WebhookChanged(Box::new(WebhookChanged { settings }))
}

fn message(no: u128) -> Message {
    Message { event_id: EventId(Uuid::from_u128(no)), kind: Kind::RunCost }
}

fn delivered(no: u128) -> Delivered {
    Delivered { message: message(no), attempts: 1, status: 204 }
}

fn dead(no: u128) -> DeadLettered {
    let reason = "status".to_owned();
    DeadLettered { message: message(no), attempts: 10, status: Some(500), reason }
}

fn redriven(no: u128) -> WebhookEvent {
    WebhookEvent::Redriven(Redriven { message: message(no) })
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_micros(s * 1_000_000)
}

#[test]
fn a_webhook_is_registered_once_changed_and_deleted_for_ever() {
    let register = || Command::Register(Box::new(settings()));
    given::<Webhook>([]).when(register()).then([registered()]);
    given::<Webhook>([registered()]).when(register()).then_refused(&Rejection::AlreadyRegistered);
    let off = WebhookSettings { enabled: false, ..settings() };
    let change = |settings: &WebhookSettings| Command::Change(Box::new(settings.clone()));
    given::<Webhook>([registered()]).when(change(&off)).then([changed(off.clone())]);
    given::<Webhook>([registered(), changed(off.clone())]).when(change(&off)).then([]);
    let deleted = || WebhookEvent::WebhookDeleted(WebhookDeleted {});
    given::<Webhook>([registered()]).when(Command::Delete).then([deleted()]);
    given::<Webhook>([registered(), deleted()]).when(Command::Delete).then([]);
    for command in [
        change(&off),
        Command::Rotate { now: at(0) },
        Command::Deliver(delivered(1)),
        Command::GiveUp(dead(1)),
        Command::Redrive(None),
    ] {
        let gone = given::<Webhook>([registered(), deleted()]).when(command.clone());
        gone.then_refused(&Rejection::NotFound);
        given::<Webhook>([]).when(command).then_refused(&Rejection::NotFound);
    }
}

#[test]
fn settings_that_can_not_be_are_refused_by_their_field() {
    for (field, broken) in [
        ("name", WebhookSettings { name: String::new(), ..settings() }),
        ("name", WebhookSettings { name: "a\nb".to_owned(), ..settings() }),
        ("name", WebhookSettings { name: "x".repeat(101), ..settings() }),
        ("url", WebhookSettings { url: "ftp://example.org".to_owned(), ..settings() }),
        ("url", WebhookSettings { url: "https://exa mple.org".to_owned(), ..settings() }),
        ("url", WebhookSettings { url: format!("https://{}", "x".repeat(2_048)), ..settings() }),
        ("kinds", WebhookSettings { kinds: BTreeSet::new(), ..settings() }),
    ] {
        let decided = Webhook::Absent.decide(Command::Register(Box::new(broken)));
        let Err(Rejection::Settings(error)) = decided else { panic!("{field}: {decided:?}") };
        assert_eq!(error.field, field);
    }
}

#[test]
fn after_a_rotation_both_secrets_sign_for_a_day() {
    let rotated = |generation, now: Timestamp| {
        let previous_until = now.plus_s(limit::ROTATION_OVERLAP_S);
        WebhookEvent::SecretRotated(SecretRotated { generation, previous_until })
    };
    let rotate = Command::Rotate { now: at(5) };
    given::<Webhook>([registered()]).when(rotate).then([rotated(2, at(5))]);
    let state = [registered(), rotated(2, at(5))];
    let state = state.iter().fold(Webhook::default(), Webhook::evolve);
    let active = state.active().expect("a webhook");
    let generations = |now| active.generations(now).collect::<Vec<_>>();
    assert_eq!(generations(at(6)), [2, 1]);
    assert_eq!(generations(at(5).plus_s(limit::ROTATION_OVERLAP_S)), [2]);
    let fresh = Webhook::default().evolve(&registered());
    let fresh = fresh.active().expect("a webhook").generations(at(0)).collect::<Vec<_>>();
    assert_eq!(fresh, [1]);
}

#[test]
fn a_message_is_recorded_as_taken_once_and_given_up_until_it_is_redriven() {
    let taken = WebhookEvent::Delivered(delivered(1));
    let given_up = WebhookEvent::DeadLettered(dead(1));
    let deliver = || Command::Deliver(delivered(1));
    let redrive = || Command::Redrive(Some(message(1)));
    given::<Webhook>([registered()]).when(deliver()).then([taken.clone()]);
    given::<Webhook>([registered(), taken.clone()]).when(deliver()).then([]);
    given::<Webhook>([registered()]).when(Command::GiveUp(dead(1))).then([given_up.clone()]);
    let history = || vec![registered(), given_up.clone()];
    given::<Webhook>(history()).when(Command::GiveUp(dead(1))).then([]);
    given::<Webhook>(history()).when(redrive()).then([redriven(1)]);
    given::<Webhook>(history()).when(Command::Redrive(None)).then([redriven(1)]);
    let again = || [history(), vec![redriven(1)]].concat();
    given::<Webhook>(again()).when(redrive()).then_refused(&Rejection::NotDead);
    given::<Webhook>(again()).when(Command::Redrive(None)).then([]);
    given::<Webhook>(again()).when(deliver()).then([taken]);
    given::<Webhook>([registered()]).when(redrive()).then_refused(&Rejection::NotDead);
}

#[test]
fn what_is_remembered_of_messages_has_an_end() {
    let many = limit::DEAD_MAX as u128;
    let dead_ones = (0..many).map(|no| WebhookEvent::DeadLettered(dead(no)));
    let full: Vec<_> = std::iter::once(registered()).chain(dead_ones).collect();
    let one_more = given::<Webhook>(full.clone()).when(Command::GiveUp(dead(many)));
    one_more.then_refused(&Rejection::DeadFull);
    let all = given::<Webhook>(full).when(Command::Redrive(None)).events();
    assert_eq!(all.len(), limit::DEAD_MAX);
    let taken = (0..many).map(|no| WebhookEvent::Delivered(delivered(no)));
    let state = taken.fold(Webhook::default().evolve(&registered()), |state, e| state.evolve(&e));
    assert_eq!(state.active().expect("a webhook").taken.len(), limit::TAKEN_KEPT);
}

#[test]
fn a_kind_has_one_name_and_one_number_and_a_message_one_id() {
    for (number, kind) in (0u8..).zip(Kind::ALL) {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
        assert_eq!((kind.number(), Kind::from_number(number)), (number, Some(*kind)));
        assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
    }
    assert!("run_costs".parse::<Kind>().is_err());
    assert_eq!(Kind::from_number(200), None);
    let message = Message { kind: Kind::ExecutionFailed, ..message(7) };
    assert_eq!(message.id(), "msg_00000000000000000000000000000007_execution_failed");
}
