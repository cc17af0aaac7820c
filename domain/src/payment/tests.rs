//! The rules of a payment's life.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::content::Digest;
use crate::given::{given, task};
use crate::ids::{AgentName, ExecutionId, UserName};
use crate::limits::payment::{PAST_VALIDITY_S, SETTLEMENTS_MAX};
use crate::{Aggregate, Timestamp};

fn verified(payload: u8) -> Box<Verified> {
    let (agent, user) = (AgentName::new("a").expect("a name"), UserName::new("u").expect("a name"));
    Box::new(Verified {
        x402_version: 2,
        terms: Terms {
            scheme: "exact".to_owned(),
            network: "eip155:8453".to_owned(),
            asset: "0xaa".to_owned(),
            amount: "10000".to_owned(),
            pay_to: "0xbb".to_owned(),
        },
        payer: "0xcc".to_owned(),
        nonce: "0xdd".to_owned(),
        valid_after_s: 1,
        valid_before_s: 2,
        payload_sha256: Digest([payload; 32]),
        payment_identifier: None,
        resource: "http://localhost/api/paid/a/task".to_owned(),
        facilitator: "http://localhost:4022".to_owned(),
        asked: Asked {
            execution_id: ExecutionId(Uuid::from_u128(1)),
            pending: task(agent, user, Timestamp::from_micros(9)),
        },
    })
}

fn was_verified() -> PaymentEvent {
    PaymentEvent::Verified(verified(1))
}

fn requested(attempt: u32) -> PaymentEvent {
    PaymentEvent::SettlementRequested(SettlementRequested { attempt })
}

fn settled(evidence: Evidence) -> Settled {
    Settled { transaction: Some("0xab".to_owned()), evidence, note: None }
}

fn was_settled() -> PaymentEvent {
    PaymentEvent::Settled(settled(Evidence::Facilitator))
}

fn failed(evidence: Evidence) -> SettlementFailed {
    SettlementFailed { reason: "expired".to_owned(), evidence, note: None }
}

/// Said long after the payment's validity.
fn fail(evidence: Evidence) -> Command {
    Command::Fail { failed: failed(evidence), now: Timestamp::MAX }
}

fn unknown() -> SettlementUnknown {
    SettlementUnknown { reason: "timeout".to_owned() }
}

fn was_unknown() -> PaymentEvent {
    PaymentEvent::SettlementUnknown(unknown())
}

fn refund() -> RefundOwed {
    RefundOwed {
        amount: "10000".to_owned(),
        cause: RefundCause::ExecutionFailed,
        code: None,
        ended_at: None,
    }
}

fn ask(asked_before: u32) -> Command {
    Command::RequestSettlement { asked_before }
}

#[test]
fn a_payment_is_verified_once_and_stands_for_one_request_alone() {
    given::<Payment>([]).when(Command::Verify(verified(1))).then([was_verified()]);
    given::<Payment>([was_verified()]).when(Command::Verify(verified(1))).then([]);
    let reused = || given::<Payment>([was_verified(), requested(1), was_settled()]);
    reused().when(Command::Verify(verified(1))).then([]);
    reused().when(Command::Verify(verified(2))).then_refused(&Rejection::Reused);
    let mut other = verified(1);
    other.asked.pending.request_sha256 = Digest([9; 32]);
    reused().when(Command::Verify(other)).then_refused(&Rejection::Reused);
}

#[test]
fn whoever_asks_for_the_money_first_is_the_only_one() {
    given::<Payment>([was_verified()]).when(ask(0)).then([requested(1)]);
    let asked = || given::<Payment>([was_verified(), requested(1)]);
    asked().when(ask(0)).then_refused(&Rejection::AlreadyRequested);
    asked().when(ask(1)).then_refused(&Rejection::AlreadyRequested);
    let settled = || given::<Payment>([was_verified(), requested(1), was_settled()]);
    settled().when(ask(1)).then_refused(&Rejection::AlreadySettled);
    let failed = PaymentEvent::SettlementFailed(failed(Evidence::Facilitator));
    let failed = given::<Payment>([was_verified(), requested(1), failed]);
    failed.when(ask(1)).then_refused(&Rejection::AlreadyFailed);
    given::<Payment>([]).when(ask(0)).then_refused(&Rejection::NotFound);
}

#[test]
fn the_money_is_asked_for_again_only_while_nobody_knows_and_a_few_times_at_most() {
    let mut events = vec![was_verified(), requested(1), was_unknown()];
    given::<Payment>(events.clone()).when(ask(0)).then_refused(&Rejection::AlreadyRequested);
    for attempt in 2..=SETTLEMENTS_MAX {
        given::<Payment>(events.clone()).when(ask(attempt - 1)).then([requested(attempt)]);
        events.extend([requested(attempt), was_unknown()]);
    }
    let asked = given::<Payment>(events);
    asked.when(ask(SETTLEMENTS_MAX)).then_refused(&Rejection::RequestedTooOften);
}

#[test]
fn a_refusal_of_the_first_request_says_that_nothing_was_charged_and_that_of_a_second_does_not() {
    let fail = || fail(Evidence::Facilitator);
    let was_failed = PaymentEvent::SettlementFailed(failed(Evidence::Facilitator));
    given::<Payment>([was_verified(), requested(1)]).when(fail()).then([was_failed]);
    let again = [was_verified(), requested(1), was_unknown(), requested(2)];
    given::<Payment>(again).when(fail()).then_refused(&Rejection::NoEvidence);
    let open = [was_verified(), requested(1), was_unknown()];
    given::<Payment>(open).when(fail()).then_refused(&Rejection::NoEvidence);
}

#[test]
fn what_is_unknown_is_decided_by_the_chain_or_a_person_and_not_while_an_answer_is_awaited() {
    for evidence in [Evidence::Chain, Evidence::Person] {
        let open = || given::<Payment>([was_verified(), requested(1), was_unknown()]);
        let was_failed = PaymentEvent::SettlementFailed(failed(evidence));
        open().when(fail(evidence)).then([was_failed]);
        let was_settled = PaymentEvent::Settled(settled(evidence));
        open().when(Command::Settle(settled(evidence))).then([was_settled]);
        let asked = || given::<Payment>([was_verified(), requested(1)]);
        let refusal = Rejection::AlreadyRequested;
        asked().when(fail(evidence)).then_refused(&refusal);
        asked().when(Command::Settle(settled(evidence))).then_refused(&refusal);
    }
}

#[test]
fn a_person_can_not_say_that_money_will_not_come_while_it_still_can() {
    let until = Timestamp::EPOCH.plus_s(verified(1).valid_before_s + PAST_VALIDITY_S);
    let open = || given::<Payment>([was_verified(), requested(1), was_unknown()]);
    let said = |evidence, now| Command::Fail { failed: failed(evidence), now };
    let early = Timestamp::from_micros(until.micros() - 1);
    open().when(said(Evidence::Person, early)).then_refused(&Rejection::StillValid { until });
    for (evidence, now) in [(Evidence::Person, until), (Evidence::Chain, early)] {
        open().when(said(evidence, now)).then([PaymentEvent::SettlementFailed(failed(evidence))]);
    }
    let settled_by_person = Command::Settle(settled(Evidence::Person));
    open().when(settled_by_person).then([PaymentEvent::Settled(settled(Evidence::Person))]);
}

#[test]
fn a_payment_that_was_never_asked_for_expires_and_one_that_was_does_not() {
    let expire = || fail(Evidence::NotRequested);
    let was_failed = PaymentEvent::SettlementFailed(failed(Evidence::NotRequested));
    given::<Payment>([was_verified()]).when(expire()).then([was_failed]);
    let asked = [was_verified(), requested(1), was_unknown()];
    given::<Payment>(asked).when(expire()).then_refused(&Rejection::Requested);
    let person = fail(Evidence::Person);
    given::<Payment>([was_verified()]).when(person).then_refused(&Rejection::NotRequested);
    let early = Command::Settle(settled(Evidence::Facilitator));
    given::<Payment>([was_verified()]).when(early).then_refused(&Rejection::NotRequested);
    let early = Command::NoteUnknown(unknown());
    given::<Payment>([was_verified()]).when(early).then_refused(&Rejection::NotRequested);
}

#[test]
fn a_refund_is_owed_once_and_only_of_money_that_came() {
    let owe = || Command::OweRefund(refund());
    let owed = PaymentEvent::RefundOwed(refund());
    let paid = || vec![was_verified(), requested(1), was_settled()];
    given::<Payment>(paid()).when(owe()).then([owed.clone()]);
    given::<Payment>(paid().into_iter().chain([owed])).when(owe()).then([]);
    for history in [
        vec![was_verified()],
        vec![was_verified(), requested(1)],
        vec![was_verified(), requested(1), was_unknown()],
    ] {
        given::<Payment>(history).when(owe()).then_refused(&Rejection::NotSettled);
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let evidence = prop::sample::select(vec![
        Evidence::Facilitator,
        Evidence::Chain,
        Evidence::Person,
        Evidence::NotRequested,
    ]);
    prop_oneof![
        (1..3_u8).prop_map(|payload| Command::Verify(verified(payload))),
        (0..4_u32).prop_map(ask),
        evidence.clone().prop_map(|evidence| Command::Settle(settled(evidence))),
        evidence.prop_map(fail),
        Just(Command::NoteUnknown(unknown())),
        Just(Command::OweRefund(refund())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is commanded in whatever order: verified first and once, each request for the money
    /// follows on an answer to the one before, one outcome at most, and a refund only of what came.
    #[test]
    fn no_order_of_commands_charges_twice_or_refunds_what_never_came(
        commands in prop::collection::vec(any_command(), 0..24),
    ) {
        let mut state = Payment::default();
        let mut told = Vec::new();
        for command in commands {
            if let Ok(events) = state.decide(command) {
                for event in events {
                    state = state.evolve(&event);
                    told.push(event);
                }
            }
        }
        let at = |wanted: fn(&PaymentEvent) -> bool| {
            let found = told.iter().enumerate().filter(move |(_, event)| wanted(event));
            found.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let settled = at(|event| matches!(event, PaymentEvent::Settled(_)));
        let failed = at(|event| matches!(event, PaymentEvent::SettlementFailed(_)));
        let refunds = at(|event| matches!(event, PaymentEvent::RefundOwed(_)));
        let requests = at(|event| matches!(event, PaymentEvent::SettlementRequested(_)));
        let verified = at(|event| matches!(event, PaymentEvent::Verified(_)));
        prop_assert!(verified.len() <= 1 && verified.iter().all(|index| *index == 0));
        prop_assert!(settled.len() + failed.len() <= 1, "{told:?}");
        prop_assert!(refunds.len() <= settled.len(), "{told:?}");
        prop_assert!(requests.len() <= SETTLEMENTS_MAX as usize);
        if let (Some(settled), Some(refund)) = (settled.first(), refunds.first()) {
            prop_assert!(settled < refund);
        }
        if let Some(settled) = settled.first() {
            prop_assert!(requests.first().is_some_and(|request| request < settled));
        }
        for pair in told.windows(2) {
            let twice = pair.iter().all(|event| matches!(event, PaymentEvent::SettlementRequested(_)));
            prop_assert!(!twice, "{told:?}");
        }
    }
}
