//! Moments of the log: positions, which are numbers behind the log's own id, and times.

use maud::{Markup, html};
use serde::Deserialize;

use super::answers::{EventList, Logged};
use crate::interface::{Interface, Problem, Visitor, quoted};
use crate::words::{icon, number, time};

/// The moment that a page's address asks for.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    /// A position or a time.
    as_of: Option<String>,
    /// The number of a position: from the slider.
    at: Option<String>,
    /// What the browser's field for a time holds: without a zone, taken as UTC.
    time: Option<String>,
}

/// A log, as far as it has come.
pub(super) struct Log {
    /// Its id: what positions begin with.
    id: String,
    /// The number of its last position.
    pub head: u64,
}

impl Log {
    /// The log now.
    pub async fn now(interface: &Interface, visitor: &Visitor) -> Result<Self, Problem> {
        let (_, head) =
            interface.seen::<serde_json::Value>(visitor, "/api/events?after=head&limit=1").await?;
        let (id, head) = parts(&head);
        Ok(Self { id, head })
    }

    /// A position as the interface takes it.
    pub fn position(&self, number: u64) -> String {
        format!("{}-{number}", self.id)
    }

    /// The moment that is wanted, as the interface takes it; nothing: now.
    pub fn wanted(&self, wanted: &Wanted) -> Option<String> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        if let Some(at) = filled(&wanted.at) {
            // What is no number the interface refuses, with its reason.
            return Some(at.parse().map_or(at, |at: u64| self.position(at.min(self.head))));
        }
        filled(&wanted.as_of).or_else(|| filled(&wanted.time).map(|text| in_utc(&text)))
    }
}

/// Log and number of a position.
pub(super) fn parts(position: &str) -> (String, u64) {
    let (id, number) = position.rsplit_once('-').unwrap_or((position, ""));
    (id.to_owned(), number.parse().unwrap_or(0))
}

/// A time as browsers give it, which may lack seconds and has no zone.
fn in_utc(text: &str) -> String {
    match (text.len(), text.contains('T')) {
        (16, true) => format!("{text}:00Z"),
        (19, true) => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// The event at a position.
pub(super) async fn event_at(
    interface: &Interface,
    visitor: &Visitor,
    log: &Log,
    number: u64,
) -> Option<Logged> {
    let before = log.position(number.checked_sub(1)?);
    let address = format!("/api/events?limit=1&after={}", quoted(&before));
    let list = interface.get::<EventList>(visitor, &address).await.ok()?;
    list.events.into_iter().next().filter(|event| parts(&event.position).1 == number)
}

/// What one moves through time with: a slider, steps, and a time that is typed.
pub(super) fn mover(page: &str, log: &Log, at: u64, event: Option<&Logged>) -> Markup {
    let step = |name: &str, to: Option<u64>, picture: &str| {
        html! {
            @match to {
                Some(to) => a .button.(picture) href={ (page) "?at=" (to) } { (name) },
                None => span .button.is-off aria-disabled="true" { (name) },
            }
        }
    };
    html! {
        section #mover .card.mover aria-label="The moment that is shown" {
            form #moment method="get" action=(page) data-moment {
                label .slide { span { "Event " b #moment-at { (at) } " of " (number(log.head)) }
                    input #slider type="range" name="at" min="0" max=(log.head) value=(at)
                        aria-valuetext={ "event " (at) };
                }
                noscript { button .button { "Go" } }
            }
            p #moment-event .moment-event {
                @match event {
                    Some(event) => { (time(&event.recorded_at)) " · " b { (event.kind) } " · " span .quiet { (event.stream) } },
                    None if at == 0 => "Before the first event",
                    None => "",
                }
            }
            div .steps {
                (step("Earliest", (at > 0).then_some(0), "to-first"))
                (step("Earlier", at.checked_sub(1), "to-earlier"))
                (step("Later", (at < log.head).then(|| at + 1), "to-later"))
                @if at < log.head { a .button.is-main href=(page) { (icon("again")) "Now" } }
                form .by-time method="get" action=(page) {
                    label { span .sr { "A time, in UTC" }
                        input type="datetime-local" name="time" step="1" required;
                    }
                    button .button { "Go to this time (UTC)" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_form_are_utc_and_positions_stay_in_the_log() {
        let log = Log { id: "k3x-1".to_owned(), head: 9 };
        let wanted = |wanted: Wanted| log.wanted(&wanted);
        assert_eq!(wanted(Wanted::default()), None);
        let time = Wanted { time: Some("2026-11-21T09:30".to_owned()), ..Wanted::default() };
        assert_eq!(wanted(time).as_deref(), Some("2026-11-21T09:30:00Z"));
        let beyond = Wanted { at: Some("70".to_owned()), ..Wanted::default() };
        assert_eq!(wanted(beyond).as_deref(), Some("k3x-1-9"));
        assert_eq!(parts("k3x-1-9"), ("k3x-1".to_owned(), 9));
    }
}
