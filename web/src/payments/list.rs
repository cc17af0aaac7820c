//! The list of payments.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};

use super::answers::{Payment, PaymentList};
use super::{amount, code, owed, short, status};
use crate::answers::{Agent, AgentList};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::words::{icon, time};

/// Payments of a page.
const PAGE_ROWS: u32 = 50;
/// What a payment can have come to: as the interface names it, and in words.
const STATUSES: [(&str, &str); 6] = [
    ("settled", "Paid"),
    ("refund_owed", "Refund owed"),
    ("settlement_unknown", "Unknown"),
    ("settlement_failed", "Not paid"),
    ("settlement_requested", "Asked for"),
    ("verified", "Verified"),
];

/// Which payments are shown.
#[derive(Default)]
struct Which {
    agent: String,
    status: String,
    payer: String,
    cursor: String,
}

impl Which {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut which = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "agent" => which.agent = value,
                "status" => which.status = value,
                "payer" => value.trim().clone_into(&mut which.payer),
                "cursor" => which.cursor = value,
                _ => {}
            }
        }
        which
    }

    fn is_narrowed(&self) -> bool {
        [&self.agent, &self.status, &self.payer].iter().any(|value| !value.is_empty())
    }

    /// As a query, on another page.
    fn query(&self, cursor: &str) -> String {
        let pairs = [
            ("agent", self.agent.as_str()),
            ("status", &self.status),
            ("payer", &self.payer),
            ("cursor", cursor),
        ];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}", quoted(value))).collect::<Vec<_>>().join("&")
    }
}

/// The list, as its address says.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    shown(whole(&interface, &visitor, &Which::read(pairs)).await)
}

async fn whole(interface: &Interface, visitor: &Visitor, which: &Which) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = format!("/api/payments?limit={PAGE_ROWS}&{}", which.query(&which.cursor));
    let (list, agents) = futures::join!(
        interface.get::<PaymentList>(visitor, &address),
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let body = html! {
        header .page-head {
            div {
                h1 { "Payments" }
                p .quiet { "What was paid for executions, over x402. Amounts are in the smallest unit of each token." }
            }
            @if me.may("read_costs") { a .button href="/costs#earned" { (icon("coins")) "Costs and earnings" } }
        }
        (filters(which, &agents))
        div #payment-list data-follows data-polls {
            @if list.payments.is_empty() { (empty(which)) } @else { (table(&list.payments)) }
            nav .pager aria-label="Pages" {
                @if !which.cursor.is_empty() { a .button href={ "/payments?" (which.query("")) } rel="first" { "First page" } }
                @if let Some(next) = &list.next_cursor {
                    a .button href={ "/payments?" (which.query(next)) } rel="next" { "Next page " (icon("down")) }
                }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Payments, "Payments", &body))
}

fn filters(which: &Which, agents: &[Agent]) -> Markup {
    let known = agents.iter().any(|agent| agent.name == which.agent);
    html! {
        form #filters .filters method="get" action="/payments" role="search" aria-label="Filter payments" {
            label { span .sr { "Status" }
                select name="status" .is-chosen[!which.status.is_empty()] {
                    option value="" { "Status: any" }
                    @for (value, label) in STATUSES { option value=(value) selected[which.status == value] { (label) } }
                }
            }
            label { span .sr { "Agent" }
                select name="agent" .is-chosen[!which.agent.is_empty()] {
                    option value="" { "Agent: any" }
                    @for agent in agents { option value=(agent.name) selected[which.agent == agent.name] { (agent.name) } }
                    @if !which.agent.is_empty() && !known { option value=(which.agent) selected { (which.agent) } }
                }
            }
            label .payer-filter { span .sr { "Payer" }
                input name="payer" value=(which.payer) placeholder="Payer: 0x…" autocomplete="off" spellcheck="false";
            }
            button .button { "Apply" }
            @if which.is_narrowed() { a .button.is-plain href="/payments" { "Clear" } }
        }
    }
}

fn table(payments: &[Payment]) -> Markup {
    html! {
        div .table-wrap {
            table .cards.payments {
                caption .sr { "Payments" }
                thead { tr {
                    th scope="col" { "State" } th scope="col" .number { "Amount" } th scope="col" { "Agent" }
                    th scope="col" { "Execution" } th scope="col" { "Payer" } th scope="col" { "Verified" }
                    th scope="col" { span .sr { "Open" } }
                } }
                tbody #rows { @for payment in payments { (row(payment)) } }
            }
        }
    }
}

fn row(payment: &Payment) -> Markup {
    html! {
        tr id={ "p-" (payment.payment_id) } .is-owed[payment.refund.is_some()] {
            td {
                (status(payment))
                @if let Some(refund) = &payment.refund { small .webhook-why { (owed(refund)) } }
                @else if let Some(reason) = &payment.reason { small .webhook-why { (code(reason)) } }
            }
            td .number data-name="Amount" { (amount(payment)) }
            td data-name="Agent" { a href={ "/agents/" (quoted(&payment.agent_name)) } { (payment.agent_name) } }
            td data-name="Execution" {
                @match payment.execution() {
                    Some(address) => a href=(address) { code { (payment.execution_id.get(..8).unwrap_or_default()) } },
                    None => span .quiet { "none" },
                }
            }
            td data-name="Payer" { code title=(payment.payer) { (short(&payment.payer)) } }
            td .quiet data-name="Verified" { (time(&payment.verified_at)) }
            td .cell-do { a href=(payment.address()) { "Story" span .sr { " of the payment of " (short(&payment.payer)) } } }
        }
    }
}

fn empty(which: &Which) -> Markup {
    html! {
        section .empty {
            @if which.is_narrowed() {
                h2 { "Nothing matches" }
                p { a .button href="/payments" { "Clear the filters" } }
            } @else {
                h2 { "Nobody has paid yet" }
                p { "An agent can be sold by the task: whoever pays may have one done, without a key. Nothing is sold until the setting "
                    code { "paid_config" } " says what and for how much." }
                p { a .button href="/docs" data-plain { "How paid runs work" } }
            }
        }
    }
}
