//! Payments: what was found good, what came of it, and what is owed of it.

use execution_ledger_domain::payment::{Evidence, RefundOwed, Terms};
use execution_ledger_domain::payment::{PaymentEvent, Verified};
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{AgentName, ContentRef, ExecutionId, Timestamp, UserName};
use execution_ledger_store::Recorded;
use serde::{Deserialize, Serialize};

use super::versions::{After, Facets, Versioned, versions_indexes, versions_tables};

/// Payments as versioned things.
pub(crate) struct Payments;

/// A version of a payment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PaymentVersion {
    pub status: String,
    pub terms: Terms,
    pub payer: String,
    pub nonce: String,
    pub valid_after_s: u64,
    pub valid_before_s: u64,
    pub identifier: Option<String>,
    pub facilitator: String,
    pub resource: String,
    pub execution_id: ExecutionId,
    pub agent: AgentName,
    pub user: UserName,
    /// How often the money was asked for.
    pub asked: u32,
    pub transaction: Option<String>,
    pub evidence: Option<Evidence>,
    pub reason: Option<String>,
    /// A person's reason, and the revision of the event that it lies beside.
    pub note: Option<(u64, ContentRef)>,
    pub refund: Option<RefundOwed>,
    pub verified_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    pub changed_at: Timestamp,
}

impl PaymentVersion {
    fn first(verified: &Verified, at: Timestamp) -> Self {
        Self {
            status: "verified".to_owned(),
            terms: verified.terms.clone(),
            payer: verified.payer.clone(),
            nonce: verified.nonce.clone(),
            valid_after_s: verified.valid_after_s,
            valid_before_s: verified.valid_before_s,
            identifier: verified.payment_identifier.clone(),
            facilitator: verified.facilitator.clone(),
            resource: verified.resource.clone(),
            execution_id: verified.asked.execution_id,
            agent: verified.asked.pending.agent.clone(),
            user: verified.asked.pending.user.clone(),
            asked: 0,
            transaction: None,
            evidence: None,
            reason: None,
            note: None,
            refund: None,
            verified_at: at,
            settled_at: None,
            changed_at: at,
        }
    }

    fn after(&self, event: &PaymentEvent, recorded: &Recorded) -> Option<Self> {
        use PaymentEvent as E;
        let changed_at = recorded.recorded_at;
        let note = |note: Option<ContentRef>| note.map(|note| (recorded.revision, note));
        let mut next = Self { changed_at, ..self.clone() };
        // As in the rules of the domain, an event that does not fit changes nothing.
        let (status, from): (&str, &[&str]) = match event {
            E::Verified(_) => return None,
            E::SettlementRequested(requested) => {
                next.asked = requested.attempt;
                next.reason = None;
                ("settlement_requested", &["verified", "settlement_unknown"])
            }
            E::SettlementUnknown(unknown) => {
                next.reason = Some(unknown.reason.clone());
                ("settlement_unknown", &["settlement_requested"])
            }
            E::Settled(settled) => {
                next.transaction.clone_from(&settled.transaction);
                next.evidence = Some(settled.evidence);
                next.reason = None;
                next.note = note(settled.note);
                next.settled_at = Some(changed_at);
                ("settled", &["settlement_requested", "settlement_unknown"])
            }
            E::SettlementFailed(failed) => {
                next.reason = Some(failed.reason.clone());
                next.evidence = Some(failed.evidence);
                next.note = note(failed.note);
                ("settlement_failed", &["verified", "settlement_requested", "settlement_unknown"])
            }
            E::RefundOwed(refund) => {
                next.refund = Some(refund.clone());
                ("refund_owed", &["settled"])
            }
        };
        status.clone_into(&mut next.status);
        from.contains(&self.status.as_str()).then_some(next)
    }
}

impl Versioned for Payments {
    const NAME: &'static str = "payments";
    const VERSION: u32 = 1;
    const TABLES: &'static str = versions_tables!("payments");
    const INDEXES: &'static str = versions_indexes!("payments");
    type State = PaymentVersion;

    fn is_about(event: &Event) -> bool {
        matches!(event, Event::Payment(_))
    }

    fn after(
        before: Option<&PaymentVersion>,
        event: &Event,
        recorded: &Recorded,
    ) -> After<PaymentVersion> {
        let Event::Payment(event) = event else { return After::Same };
        let next = match (before, event) {
            (None, PaymentEvent::Verified(verified)) => {
                Some(PaymentVersion::first(verified, recorded.recorded_at))
            }
            (None, _) => None,
            (Some(before), event) => before.after(event, recorded),
        };
        next.map_or(After::Same, After::Now)
    }

    fn facets(payment: &PaymentVersion) -> Facets<'_> {
        Facets {
            user: Some(payment.user.as_str()),
            agent: Some(payment.agent.as_str()),
            kind: Some(&payment.status),
            // Of use: it is not settled that nothing came of it.
            active: payment.status != "settlement_failed",
        }
    }
}
