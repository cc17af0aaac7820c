//! The list of chats.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use maud::{Markup, html};

use super::Draft;
use super::answers::{ChatSession, SessionDetail, SessionList};
use crate::answers::{Agent, AgentList, Execution};
use crate::error_page::Instead;
use crate::interface::{Interface, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::shown;
use crate::texts::visible;
use crate::words::{first_line, icon, status, time};

/// Chats of a page.
const PAGE_ROWS: u32 = 30;
/// Chats whose last words are asked for at once.
const ASKED_AT_ONCE: usize = 8;
/// The last words of a chat in its row: so much of them, in characters.
const LAST_MAX_CHARS: usize = 120;

/// The page of chats.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    shown(whole(&interface, &visitor, &query, &Draft::default()).await)
}

/// The page of chats once more, with what could not be taken.
pub(super) async fn again(interface: &Interface, visitor: &Visitor, draft: &Draft) -> Response {
    let status = draft.problem.as_ref().map_or(200, |problem| problem.status);
    let page = shown(whole(interface, visitor, "", draft).await);
    let status = axum::http::StatusCode::from_u16(status).unwrap_or(page.status());
    (status, page).into_response()
}

/// A chat with what was said last in it.
struct Row {
    session: ChatSession,
    last: Option<Execution>,
    background: usize,
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    query: &str,
    draft: &Draft,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let address = format!("/api/sessions?limit={PAGE_ROWS}&{}", known(query));
    let (sessions, agents) = futures::join!(
        interface.get::<SessionList>(visitor, &address),
        interface.get::<AgentList>(visitor, "/api/agents"),
    );
    let SessionList { sessions, next_cursor } = sessions.map_err(fail)?;
    let agents = agents.map(|list| list.agents).unwrap_or_default();
    let rows = sessions.into_iter().map(|session| row(interface, visitor, session));
    let rows: Vec<Row> = futures::stream::iter(rows).buffered(ASKED_AT_ONCE).collect().await;
    let body = html! {
        header .page-head {
            h1 { "Chats" }
            @if me.may("chat") { (form(&agents, draft)) }
        }
        (draft.trouble())
        (filters(query))
        div #chats data-follows {
            @if rows.is_empty() { (empty(query, me.may("chat"))) } @else { (table(&rows, &me)) }
        }
        nav .pager aria-label="Pages" {
            @if value(query, "cursor").is_some() {
                a .button href=(with(query, None)) rel="first" { "First page" }
            }
            @if let Some(cursor) = &next_cursor {
                a .button href=(with(query, Some(cursor))) rel="next" { "Next page " (icon("down")) }
            }
        }
    };
    Ok(layout::page(Some(&me), Place::Chats, "Chats", &body))
}

async fn row(interface: &Interface, visitor: &Visitor, session: ChatSession) -> Row {
    let address = format!("/api/sessions/{}?limit=1", quoted(&session.session_id));
    // Without its last words a row still leads to its chat.
    match interface.get::<SessionDetail>(visitor, &address).await {
        Ok(mut detail) => Row {
            session,
            last: detail.entries.pop().map(|entry| entry.record),
            background: detail.background.len(),
        },
        Err(_) => Row { session, last: None, background: 0 },
    }
}

/// What of the address the interface is asked for.
fn known(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        ["agent", "status", "user", "cursor"].contains(&name) && pair.len() > name.len() + 1
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// A value of the address, quoted as it stands there.
fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(own, _)| *own == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// The address of this page from another row on.
fn with(query: &str, cursor: Option<&str>) -> String {
    let known = known(query);
    let mut pairs: Vec<String> = known
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
        .map(str::to_owned)
        .collect();
    pairs.extend(cursor.map(|cursor| format!("cursor={}", quoted(cursor))));
    if pairs.is_empty() { "/sessions".to_owned() } else { format!("/sessions?{}", pairs.join("&")) }
}

fn filters(query: &str) -> Markup {
    let chosen = value(query, "status");
    let states = [(None, "All"), (Some("open"), "Open"), (Some("closed"), "Closed")];
    html! {
        nav .chat-filters aria-label="Which chats" {
            @for (state, name) in states {
                @let address = state.map_or("/sessions".to_owned(), |state| format!("/sessions?status={state}"));
                a href=(address) aria-current=[(chosen == state).then_some("true")] { (name) }
            }
        }
    }
}

/// The form that opens a chat: closed until somebody opens it.
fn form(agents: &[Agent], draft: &Draft) -> Markup {
    let active = agents.iter().filter(|agent| agent.status != "retired");
    html! {
        details #new-task .new-task open[draft.problem.is_some()] {
            summary .button.is-main { (icon("plus")) "New chat" }
            form .card method="post" action="/sessions" {
                label { "Agent"
                    select name="agent" required {
                        @for agent in active {
                            option value=(agent.name) selected[draft.agent.as_ref() == Some(&agent.name)] {
                                (agent.name)
                                @if agent.status != "active" { " (" (agent.status) ")" }
                            }
                        }
                    }
                }
                label { "What do you want to say first?"
                    textarea name="message" rows="4" maxlength="262144" placeholder="Hello" {
                        (draft.message)
                    }
                }
                div .row-end {
                    span .quiet { kbd { "Ctrl" } " " kbd { "Enter" } " opens it" }
                    button .button.is-main { "Open" }
                }
            }
        }
    }
}

fn table(rows: &[Row], me: &Me) -> Markup {
    let of_others = rows.iter().any(|row| row.session.user != me.user);
    html! {
        div #news .news data-of="chat chats" hidden { button .button type="button" {} }
        div .table-wrap {
            table .chats {
                caption .sr { "Chats" }
                thead { tr {
                    th scope="col" { "Chat" }
                    th scope="col" { "Agent" }
                    @if of_others { th scope="col" { "Of" } }
                    th scope="col" { "State" }
                    th scope="col" { "Last words" }
                } }
                tbody #rows {
                    @for row in rows {
                        tr id={ "s-" (row.session.session_id) } {
                            td .cell-task {
                                a href=(row.session.address()) { (title(&row.session, row.last.is_some())) }
                                div .quiet.last-words { (last_words(row)) }
                            }
                            td .cell-agent { (row.session.agent_name) }
                            @if of_others { td .cell-agent.quiet { (row.session.user) } }
                            td { (state(row)) }
                            td .cell-time.quiet { (time(last_time(row))) }
                        }
                    }
                }
            }
        }
    }
}

/// What a chat is called: the beginning of its first message.
pub(super) fn title(session: &ChatSession, has_entries: bool) -> Markup {
    html! {
        @match &session.title {
            Some(title) => (visible(title)),
            None if has_entries => em .quiet { "erased" },
            None => "New chat",
        }
    }
}

fn last_words(row: &Row) -> Markup {
    html! {
        @match &row.last {
            None => "Nothing was said yet",
            Some(last) => @match (&last.response, &last.error) {
                (Some(words), _) => { (row.session.agent_name) ": " (visible(&first_line(words, LAST_MAX_CHARS))) },
                (None, Some(error)) => (error.code.replace('_', " ")),
                (None, None) => @if let Some(words) = &last.message { "Asked: " (visible(&first_line(words, LAST_MAX_CHARS))) },
            },
        }
    }
}

fn state(row: &Row) -> Markup {
    let open = row.last.as_ref().filter(|last| last.is_open());
    html! {
        div .chat-state-cell {
            @if let Some(last) = open { (status(&last.status)) }
            @else if row.session.is_open() { span .quiet { "open" } }
            @else { span .quiet { "closed" } }
            @if row.background > 0 {
                span .trigger.by-self_task { (row.background) " in the background" }
            }
        }
    }
}

fn last_time(row: &Row) -> &str {
    let last = row.last.as_ref();
    last.and_then(|last| last.completed_at.as_deref().or(Some(last.created_at.as_str())))
        .unwrap_or(&row.session.opened_at)
}

fn empty(query: &str, may_chat: bool) -> Markup {
    html! {
        section .empty {
            @if known(query).is_empty() {
                h2 { "No chats yet" }
                p { "In a chat you talk with one agent: it remembers what was said, and can go on working in the background while you talk." }
                @if may_chat {
                    p { "Open one by “New chat” above, by “Continue as chat” on an execution, or from a terminal:" }
                    pre { code { "execution-ledger sessions open demo" } }
                }
            } @else {
                h2 { "No such chats" }
                p { "None fits the filter." }
                p { a .button href="/sessions" { "All chats" } }
            }
        }
    }
}
