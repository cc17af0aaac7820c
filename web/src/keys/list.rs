//! The list of keys, and the form for another.

use maud::{Markup, html};

use super::answers::{Issued, Key, KeyList};
use super::{Draft, News, Shown};
use crate::answers::{Agent, AgentList};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::words::{icon, time};

/// Keys of a page.
const PAGE_ROWS: u32 = 50;
/// The roles, and what they are for.
const ROLES: [(&str, &str); 6] = [
    ("user", "own tasks and chats"),
    ("operator", "all tasks, chats and schedules"),
    ("auditor", "reads everything, changes nothing"),
    ("billing", "costs only"),
    ("agent", "a program that is an agent"),
    ("admin", "everything"),
];

/// The whole page.
pub(super) async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    which: &Shown,
    news: &News,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let address = address(which);
    let (list, agents) = futures::join!(
        interface.get::<KeyList>(visitor, &address),
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let list = list.map_err(|problem| Instead::of(problem, visitor, Some(&me)))?;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let may_change = me.may("manage_keys");
    let body = html! {
        header .page-head {
            div {
                h1 { "Keys" }
                p .quiet { "Who may come in, and as what. The key of the administrator is a file of the server and is not listed." }
            }
            @if may_change && news.issued.is_none() { (form(&agents, news)) }
        }
        (above(news))
        nav .part-tabs aria-label="Which keys" {
            a href="/keys" aria-current=[(!revoked(which)).then_some("true")] { "In use" }
            a href="/keys?revoked=true" aria-current=[revoked(which).then_some("true")] { "Revoked" }
        }
        div #key-list data-follows { (table(&list, which, may_change)) }
    };
    Ok(layout::page(Some(&me), Place::Keys, "Keys", &body))
}

/// A key that was issued, where nothing else can be shown.
pub(super) fn alone(news: &News) -> Markup {
    layout::page(None, Place::Keys, "Keys", &above(news))
}

fn revoked(which: &Shown) -> bool {
    which.revoked.as_deref() == Some("true")
}

fn address(which: &Shown) -> String {
    let mut address = format!("/api/keys?limit={PAGE_ROWS}&revoked={}", revoked(which));
    for (name, value) in [("cursor", &which.cursor), ("wait_for", &which.seen)] {
        if let Some(value) = value {
            address.extend(["&", name, "=", &quoted(value)]);
        }
    }
    address
}

fn above(news: &News) -> Markup {
    html! {
        @if let Some(issued) = &news.issued { (once(issued)) }
        @if let Some(problem) = &news.problem {
            section .card.is-bad.trouble role="alert" {
                b { (problem.title) ": " } (problem.detail)
                @if let Some(hint) = &problem.hint { " " (hint) }
                " " code .quiet { (problem.code) }
            }
        }
    }
}

/// The key itself, this once.
fn once(issued: &Issued) -> Markup {
    html! {
        section #issued .card.once role="status" {
            h2 { "The key “" (issued.name) "” was issued" }
            p { "It is shown this once and kept nowhere: copy it now. Its holder is the user "
                b { (issued.user) } " with the role " b { (issued.role) } "." }
            div .secret-line {
                code #secret .secret tabindex="0" { (issued.key) }
                button .button.by-script type="button" data-copies="secret" { (icon("copy")) "Copy" }
            }
            p .quiet { "Programs send it as " code { "Authorization: Bearer KEY" } "; people sign in with it." }
            p { a .button href="/keys" { "I have it" } }
        }
    }
}

fn form(agents: &[Agent], news: &News) -> Markup {
    let Draft { name, role, user, agent, may_call } = &news.draft;
    html! {
        details #new-key .new-task open[news.problem.is_some()] {
            summary .button.is-main { (icon("plus")) "New key" }
            form .card method="post" action="/keys/issued" {
                label { "Name"
                    input name="name" required maxlength="100" value=(name) placeholder="nightly-checks" autocomplete="off";
                }
                label { "Role"
                    select name="role" {
                        @for (value, about) in ROLES {
                            option value=(value) selected[role == value] { (value) ": " (about) }
                        }
                    }
                }
                label { "User"
                    input name="user" value=(user) placeholder="left empty: the key's name" autocomplete="off";
                }
                label { "Agent, of an agent's key only"
                    select name="agent" {
                        option value="" { "none" }
                        @for one in agents.iter().filter(|one| one.status != "retired") {
                            option value=(one.name) selected[*agent == one.name] { (one.name) }
                        }
                    }
                }
                label { "May give tasks to"
                    input name="may_call" value=(may_call) autocomplete="off"
                        placeholder="left empty: all agents; of an agent's key none but its own";
                }
                div .row-end { button .button.is-main { "Issue" } }
            }
        }
    }
}

fn table(list: &KeyList, which: &Shown, may_change: bool) -> Markup {
    if list.keys.is_empty() {
        return empty(revoked(which));
    }
    html! {
        div .table-wrap {
            table .cards {
                caption .sr { "Keys" }
                thead { tr {
                    th scope="col" { "Key" } th scope="col" { "Role" } th scope="col" { "User" }
                    th scope="col" { "May give tasks to" } th scope="col" { "Since" }
                    @if revoked(which) { th scope="col" { "Revoked" } }
                    @else if may_change { th scope="col" { span .sr { "Do" } } }
                } }
                tbody #rows { @for key in &list.keys { (row(key, may_change)) } }
            }
        }
        nav .pager aria-label="Pages" {
            @if which.cursor.is_some() {
                a .button href=(with(which, None)) rel="first" { "First page" }
            }
            @if let Some(cursor) = &list.next_cursor {
                a .button href=(with(which, Some(cursor))) rel="next" { "Next page " (icon("down")) }
            }
        }
    }
}

fn with(which: &Shown, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("&cursor={}", quoted(cursor))).unwrap_or_default();
    format!("/keys?revoked={}{cursor}", revoked(which))
}

fn row(key: &Key, may_change: bool) -> Markup {
    html! {
        tr id={ "k-" (key.key_id) } {
            td { b { (key.name) } " " div .quiet { code { (key.key_id) } } }
            td data-name="Role" { (key.role) }
            td data-name="User" { (key.user) @if let Some(agent) = &key.agent { div .quiet { "agent " (agent) } } }
            td data-name="May give tasks to" {
                @match &key.may_call {
                    Some(agents) if agents.is_empty() => span .quiet { "nobody" },
                    Some(agents) => (agents.join(", ")),
                    None if key.role == "agent" => span .quiet { "itself" },
                    None if matches!(key.role.as_str(), "auditor" | "billing") => span .quiet { "nobody" },
                    None => "all agents",
                }
            }
            td .quiet data-name="Since" { (time(&key.issued_at)) }
            @if let Some(at) = &key.revoked_at { td .quiet data-name="Revoked" { (time(at)) } }
            @else if may_change { td .cell-do { (revoking(key)) } }
        }
    }
}

/// The way to revoke it, after a second thought.
fn revoking(key: &Key) -> Markup {
    html! {
        details id={ "revoke-" (key.key_id) } .confirm {
            summary .button.is-danger { "Revoke" span .sr { " " (key.name) } }
            form .card method="post" action={ "/keys/" (quoted(&key.key_id)) "/revoke" } {
                p { "Nobody is let in with “" (key.name) "” any more, and what was opened with it ends at once. "
                    "It can't be undone; runs go on." }
                button .button.is-danger { "Revoke it" }
            }
        }
    }
}

fn empty(revoked: bool) -> Markup {
    html! {
        section .empty {
            @if revoked {
                h2 { "No key was revoked" }
                p { "Keys that were revoked stay listed here, with the time." }
            } @else {
                h2 { "No keys yet" }
                p { "Until you issue some, only the administrator's key opens anything. Give each person and each program a key of its own:" }
                pre { code { "execution-ledger keys issue ada --role user" } }
            }
        }
    }
}
