//! What is around every page.

use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use crate::assets::address;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor};
use crate::words::icon;

/// Who looks, and what they may do.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Me {
    /// What they are to the ledger.
    pub role: String,
    /// The user.
    pub user: String,
    /// What they may do.
    pub rights: Vec<String>,
}

impl Me {
    /// Whoever looks at a page.
    pub async fn of(interface: &Interface, visitor: &Visitor) -> Result<Self, Problem> {
        interface.get(visitor, "/api/me").await
    }

    /// Whoever looks at a page, or what is shown instead of it.
    pub async fn expected(interface: &Interface, visitor: &Visitor) -> Result<Self, Instead> {
        Self::of(interface, visitor).await.map_err(|problem| Instead::of(problem, visitor, None))
    }

    /// Whether they may do something.
    pub fn may(&self, right: &str) -> bool {
        self.rights.iter().any(|own| own == right)
    }
}

/// Which part of the ledger a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The executions.
    Executions,
    /// The agents.
    Agents,
    /// What is going on.
    Activity,
    /// When what ran.
    Timeline,
    /// The audit.
    Audit,
    /// Keys.
    Keys,
    /// Who else is told.
    Webhooks,
    /// The chats.
    Chats,
    /// Schedules.
    Schedules,
    /// What runs cost, and budgets.
    Costs,
    /// What was paid for runs.
    Payments,
    /// None that stands in the navigation.
    Elsewhere,
}

/// A place of the navigation: where, its address, its picture, its name, and the right that it needs.
const PLACES: &[(Place, &str, &str, &str, &str)] = &[
    (Place::Executions, "/", "list", "Executions", "read"),
    (Place::Agents, "/agents", "agent", "Agents", "read"),
    (Place::Activity, "/activity", "activity", "Activity", "read"),
    (Place::Timeline, "/timeline", "timeline", "Timeline", "read"),
    (Place::Chats, "/sessions", "chat", "Chats", "read_sessions"),
    (Place::Schedules, "/schedules", "calendar", "Schedules", "read_schedules"),
    (Place::Costs, "/costs", "coins", "Costs", "read_costs"),
    (Place::Payments, "/payments", "receipt", "Payments", "read_payments"),
    (Place::Audit, "/audit", "audit", "Audit", "read_log"),
    (Place::Keys, "/keys", "key", "Keys", "read_keys"),
    (Place::Webhooks, "/webhooks", "hook", "Webhooks", "read_webhooks"),
];

/// A whole page. `me` is whoever looks, where that is known.
pub(crate) fn page(me: Option<&Me>, place: Place, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Execution ledger" }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href=(address("app.css"));
                script src=(address("theme.js")) {}
                script type="module" src=(address("app.js")) {}
            }
            body data-user=[me.map(|me| &me.user)] {
                a .skip href="#main" { "Skip to the content" }
                header .bar {
                    a .brand href="/" { (icon("ledger")) span { "Execution ledger" } }
                    button .button.menu type="button" popovertarget="places" { (icon("menu")) "Menu" }
                    nav #places popover aria-label="Main" { (places(me, place)) }
                    div .bar-end { (controls(me)) }
                }
                main #main tabindex="-1" { (body) }
                div #said .said role="status" aria-live="polite" {}
                (help_sheet(me))
                (crate::activity::drawer())
                (palette(me))
            }
        }
    }
}

/// The mark of the ledger, in the address itself: nothing more has to be fetched.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%234f46e5'/%3E%3Cpath d='M4.5 5h7M4.5 8h7M4.5 11h4' stroke='white' stroke-width='1.5' stroke-linecap='round'/%3E%3C/svg%3E";

fn places(me: Option<&Me>, current: Place) -> Markup {
    let may = |right: &str| me.is_none_or(|me| me.may(right));
    html! {
        @for &(place, address, picture, name, right) in PLACES {
            @if may(right) {
                a href=(address) aria-current=[(place == current).then_some("page")] data-letter=[letter(address)] {
                    (icon(picture)) span { (name) }
                    @if place == Place::Executions {
                        span #running-count .count hidden title="Running now" {}
                    }
                }
            }
        }
        a .apart href="/docs" data-plain { (icon("code")) span { "API" } }
    }
}

/// The letter that, after `g`, leads to a place.
fn letter(address: &str) -> Option<&'static str> {
    Some(match address {
        "/" => "e",
        "/agents" => "a",
        "/activity" => "v",
        "/timeline" => "t",
        "/sessions" => "c",
        "/schedules" => "s",
        "/costs" => "o",
        "/payments" => "p",
        "/audit" => "u",
        "/keys" => "k",
        "/webhooks" => "w",
        _ => return None,
    })
}

fn controls(me: Option<&Me>) -> Markup {
    html! {
        span #live .live data-state="off" title="Whether this page follows the ledger" {
            span .dot {} span .live-text { "Not live" }
        }
        @if me.is_some_and(|me| me.may("read")) {
            a #activity-open .icon-button.activity-open href="/activity" title="Activity (t)" aria-keyshortcuts="t" {
                (icon("activity")) span .sr { "Activity" }
                span .badge data-counts-running hidden {}
            }
        }
        button #palette-open .icon-button type="button" hidden aria-keyshortcuts="Control+K Meta+K"
            title="Go to, or do (Ctrl K)" { (icon("search")) span .sr { "Go to, or do" } }
        button #theme .icon-button type="button" hidden title="Light or dark" {
            (icon("contrast")) span .sr { "Light or dark" }
        }
        @if let Some(me) = me {
            form .leave method="post" action="/sign-out" {
                button .me title={ "Signed in as " (me.user) ", role " (me.role) ". Sign out" } {
                    (me.user) span .sr { ": sign out" }
                }
            }
        }
    }
}

/// What the keys do, as far as whoever looks has a use for it.
fn help_sheet(me: Option<&Me>) -> Markup {
    let may = |right: &str| me.is_none_or(|me| me.may(right));
    let keys = [
        ("Ctrl K", "Go to anything, or do something", ""),
        ("/", "Search in the list or the transcript", "read"),
        ("n", "New task", "operate"),
        ("Ctrl Enter", "Submit what is typed", "operate"),
        ("j, k", "Next, previous row", "read"),
        ("Enter", "Open the row", "read"),
        ("x", "Choose the row", "operate"),
        ("t", "Open and close the activity panel", "read"),
        ("l", "Follow the transcript, or not", "read"),
        ("End", "The last lines of the transcript", "read"),
        ("?", "This sheet", ""),
        ("Esc", "Close", ""),
    ];
    let places = PLACES.iter().filter(|place| may(place.4));
    html! {
        dialog #help-sheet aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl .keys {
                @for (key, meaning, right) in keys {
                    @if right.is_empty() || may(right) { dt { kbd { (key) } } dd { (meaning) } }
                }
                @for (_, address, _, name, _) in places {
                    @if let Some(letter) = letter(address) { dt { kbd { "g " (letter) } } dd { (name) } }
                }
            }
            form method="dialog" { button .button { "Close" } }
        }
    }
}

fn palette(me: Option<&Me>) -> Markup {
    let rights = me.map(|me| me.rights.join(" "));
    html! {
        dialog #palette aria-label="Go to, or do" data-rights=[rights] {
            input #palette-text type="search" role="combobox" aria-expanded="true"
                aria-controls="palette-found" aria-autocomplete="list" autocomplete="off"
                aria-label="An execution, an agent, or what to do" placeholder="Go to, or do…";
            ul #palette-found role="listbox" aria-label="Found" {}
        }
    }
}
