//! One chat: what was said, what goes on in the background, and the box to say more.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::Draft;
use super::answers::{ChatSession, Entry, SessionDetail, WaitingRecord};
use super::entries::{self, Reasons};
use super::list::title;
use crate::answers::Execution;
use crate::error_page::Instead;
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::layout::{self, Me, Place};
use crate::markdown::{self, Choice, Look};
use crate::once;
use crate::shown;
use crate::words::{first_line, icon, time};

/// Entries of a page.
const PAGE_ENTRIES: u32 = 40;
/// Executions that wait, of which a page says why: most.
const EXPLAINED_MAX: usize = 10;

/// The page of a chat.
pub(super) async fn page(
    State(interface): State<Interface>,
    visitor: Visitor,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    shown(whole(&interface, &visitor, &id, &query, &Draft::default()).await)
}

/// The page once more, with what was typed and could not be taken.
pub(super) async fn again(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    draft: Draft,
) -> Response {
    let status = draft.problem.as_ref().map_or(200, |problem| problem.status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // Whoever is not signed in is sent to do so.
    if let (StatusCode::UNAUTHORIZED, Some(problem)) = (status, &draft.problem) {
        return Instead::of(problem.clone(), visitor, None).into_response();
    }
    let page = shown(whole(interface, visitor, id, "", &draft).await);
    if page.status().is_success() { (status, page).into_response() } else { page }
}

async fn whole(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    query: &str,
    draft: &Draft,
) -> crate::Shown {
    let me = Me::expected(interface, visitor).await?;
    let fail = |problem| Instead::of(problem, visitor, Some(&me));
    let known = query
        .split('&')
        .filter(|pair| ["cursor=", "wait_for="].iter().any(|name| pair.starts_with(name)));
    let known = known.collect::<Vec<_>>().join("&");
    let address = format!("/api/sessions/{}?limit={PAGE_ENTRIES}&{known}", quoted(id));
    let detail: SessionDetail = interface.get(visitor, &address).await.map_err(fail)?;
    let reasons = reasons(interface, visitor, &detail).await;
    let is_newest = !known.contains("cursor=");
    let choice = Choice::of(visitor);
    let session = &detail.session;
    let body = html! {
        section #chat .chat data-session=(session.session_id)
            data-live[is_newest && (session.is_open() || goes_on(&detail))] {
            nav .crumbs aria-label="Where this is" {
                a href="/sessions" { "Chats" } span aria-hidden="true" { "/" }
                a href={ "/agents/" (session.agent_name) } { (session.agent_name) }
            }
            div #chat-head data-follows { (head(&detail, &me, choice)) }
            div #chat-log .chat-log role="log" aria-label="Messages" data-follows[is_newest] {
                (log(&detail, &reasons, &me, is_newest, choice))
            }
            @if is_newest { (foot(&detail, &me, draft)) }
            @else { p .chat-older { a .button href=(session.address()) { "Back to the newest" } } }
        }
    };
    let title = session.title.as_deref().unwrap_or("New chat");
    Ok(layout::page(Some(&me), Place::Chats, &first_line(title, 60), &body))
}

/// Why the executions wait that do.
async fn reasons(interface: &Interface, visitor: &Visitor, detail: &SessionDetail) -> Reasons {
    let turns = detail.entries.iter().map(|entry| &entry.record);
    let waiting = turns.chain(&detail.background).filter(|record| record.status == "pending");
    let asked = waiting.take(EXPLAINED_MAX).map(|record| {
        let address = format!(
            "/api/agents/{}/executions/{}",
            quoted(&record.agent_name),
            quoted(&record.execution_id)
        );
        async move { interface.get::<WaitingRecord>(visitor, &address).await }
    });
    // Of what is not told why it waits it is said that it does.
    let told = futures::future::join_all(asked).await.into_iter().filter_map(Result::ok);
    told.filter_map(|record| Some((record.execution_id, record.waiting?))).collect()
}

fn running_turn(detail: &SessionDetail) -> Option<&Execution> {
    let open = detail.entries.iter().filter(|entry| entry.kind == "turn");
    open.map(|entry| &entry.record).find(|record| record.is_open())
}

fn goes_on(detail: &SessionDetail) -> bool {
    running_turn(detail).is_some() || !detail.background.is_empty()
}

fn is_own(session: &ChatSession, me: &Me) -> bool {
    session.user == me.user && me.may("chat")
}

fn head(detail: &SessionDetail, me: &Me, choice: Choice) -> Markup {
    let session = &detail.session;
    html! {
        header .page-head {
            div {
                h1 .task-title { (title(session, !detail.entries.is_empty())) }
                p .state.quiet {
                    span { "with " b { (session.agent_name) } }
                    @if session.user != me.user { span { "of " b { (session.user) } } }
                    span { "since " (time(&session.opened_at)) }
                    @if let Some(from) = &session.continues {
                        a href={ "/agents/" (session.agent_name) "/executions/" (from.execution_id) } {
                            "continues an execution"
                        }
                    }
                    @if !session.is_open() { span .chat-closed { "Closed" } }
                    @if let Some(look) = formatted(detail, choice) { (markdown::switch(look, "chat-log")) }
                }
            }
            @if session.is_open() && me.may("chat") { (close_form(session)) }
        }
    }
}

/// How answers are shown, where any of them looks different once it is formatted.
fn formatted(detail: &SessionDetail, choice: Choice) -> Option<Look> {
    let mut records = detail.entries.iter().map(|entry| &entry.record);
    let record = records.find(|record| record.response.as_deref().is_some_and(markdown::has_form));
    record.map(|record| Look::response(choice, record))
}

/// Closing can't be undone: it is asked twice, also without scripts.
fn close_form(session: &ChatSession) -> Markup {
    html! {
        details #close .more {
            summary .button { "Close chat" }
            form .card method="post" action={ (session.address()) "/close" } {
                p { "It takes no more messages then, and what still works in the background is not told here. What was said stays. This can’t be undone." }
                div .row-end { button .button.is-danger { "Close it" } }
            }
        }
    }
}

fn log(
    detail: &SessionDetail,
    reasons: &Reasons,
    me: &Me,
    is_newest: bool,
    choice: Choice,
) -> Markup {
    let session = &detail.session;
    let may_stop = me.may("operate");
    let entry = |entry: &Entry| match entry.kind.as_str() {
        "turn" => entries::turn(session, entry, reasons, may_stop, choice),
        _ => entries::result(entry, choice),
    };
    html! {
        @if let Some(cursor) = &detail.next_cursor {
            p .chat-older {
                a .button href={ (session.address()) "?cursor=" (quoted(cursor)) } { "Earlier messages" }
            }
        }
        @for one in &detail.entries { (entry(one)) }
        @if is_newest {
            @for task in &detail.background { (entries::working(session, task, reasons, may_stop)) }
            @if detail.entries.is_empty() && detail.background.is_empty() { (empty(session, me)) }
        }
    }
}

fn empty(session: &ChatSession, me: &Me) -> Markup {
    html! {
        section .empty {
            h2 { "Nothing was said yet" }
            @if session.is_open() && is_own(session, me) {
                p { "Say something to " b { (session.agent_name) } " below. Its answer appears here while it is made." }
                p .quiet { "“Send in the background” has it worked on while you go on talking: the result comes back into this chat." }
            }
        }
    }
}

fn foot(detail: &SessionDetail, me: &Me, draft: &Draft) -> Markup {
    let session = &detail.session;
    html! {
        div .chat-foot {
            button #chat-newest .button type="button" hidden { (icon("down")) "Newest" }
            (draft.trouble())
            div #chat-state .chat-state role="status" data-follows { (queue(detail)) }
            @if !session.is_open() {
                p .chat-note {
                    "This chat was closed" @if let Some(at) = &session.closed_at { " " (time(at)) }
                    ": it takes no more messages. " a href="/sessions" { "Open a new one" } "."
                }
            } @else if is_own(session, me) { (say_form(session, me, draft)) }
            @else { p .chat-note { "Only " b { (session.user) } " speaks in this chat." } }
        }
    }
}

/// What stands before the next message.
fn queue(detail: &SessionDetail) -> Markup {
    let turns = detail.entries.iter().filter(|entry| entry.kind == "turn");
    let (mut running, mut waiting) = (0_u32, 0_u32);
    for turn in turns {
        match turn.record.status.as_str() {
            "running" => running += 1,
            "pending" => waiting += 1,
            _ => {}
        }
    }
    let words = match (running, waiting) {
        (0, 0) => return html! {},
        (_, 0) => "The agent is answering. What you send now is its next turn.".to_owned(),
        (0, 1) => "The next turn is about to start.".to_owned(),
        (_, 1) => "The agent is answering, and 1 message waits for its turn.".to_owned(),
        (_, more) => format!("{more} messages wait for their turn."),
    };
    html! { span .dot {} (words) }
}

fn say_form(session: &ChatSession, me: &Me, draft: &Draft) -> Markup {
    html! {
        form #say .say data-own method="post" action={ (session.address()) "/messages" } {
            label .sr for="say-text" { "Message to " (session.agent_name) }
            textarea #say-text name="message" required rows="2" maxlength="262144"
                placeholder={ "Message to " (session.agent_name) } { (draft.message) }
            input type="hidden" name="agent" value=(session.agent_name);
            (once::mark())
            div .say-end {
                span .quiet.by-script { kbd { "Enter" } " sends, " kbd { "Shift" } " " kbd { "Enter" } " is a new line" }
                span .spacer {}
                @if me.may("operate") {
                    button .button.is-background name="how" value="background"
                        title="Has it worked on while you go on talking; the result comes back here" {
                        "Send in the background"
                    }
                }
                button .button.is-main name="how" value="turn" { "Send" }
            }
        }
    }
}

/// A problem with what a form of this chat asked for.
pub(super) async fn refused(
    interface: &Interface,
    visitor: &Visitor,
    id: &str,
    problem: Problem,
) -> Response {
    again(interface, visitor, id, Draft { problem: Some(problem), ..Draft::default() }).await
}
