//! Which of the agents are listed, where there are many.

use maud::{Markup, html};
use serde::Deserialize;

use super::answers::Agent;
use crate::interface::quoted;
use crate::words::icon;

/// What can be asked of an agent's state, and how it is called.
const STATES: [(&str, &str); 3] =
    [("running", "Running now"), ("waiting", "With tasks that wait"), ("paused", "Paused")];
/// Agents from which on it is worth choosing among them.
const CHOOSING_FROM: usize = 8;

/// Which agents are shown.
#[derive(Deserialize)]
pub(super) struct Which {
    /// Those after this one, by name.
    after: Option<String>,
    /// Also those that were retired.
    retired: Option<String>,
    /// Those whose name has this in it.
    q: Option<String>,
    /// Those of which this is so.
    state: Option<String>,
}

impl Which {
    fn words(&self) -> &str {
        self.q.as_deref().unwrap_or_default().trim()
    }

    fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    /// Whether the form is worth its place, of so many agents.
    pub fn is_offered(&self, agents: usize) -> bool {
        self.chooses() || agents > CHOOSING_FROM
    }

    /// Whether anything but what was retired is left out.
    pub fn chooses(&self) -> bool {
        !self.words().is_empty() || STATES.iter().any(|(name, _)| *name == self.state())
    }

    /// Whether this agent is one of them.
    pub fn means(&self, agent: &Agent) -> bool {
        let state = match self.state() {
            "running" => agent.running > 0,
            "waiting" => agent.pending > 0,
            "paused" => agent.status == "paused",
            _ => true,
        };
        state
            && self.after.as_ref().is_none_or(|after| agent.name > *after)
            && (self.retired.is_some() || agent.status != "retired")
            && agent.name.contains(&self.words().to_lowercase())
    }

    /// The address of the list with these choices, from its first page or after an agent on.
    fn address(&self, after: Option<&str>, with_retired: bool) -> String {
        let retired = with_retired.then_some("shown");
        let asked = [
            ("q", Some(self.words())),
            ("state", Some(self.state())),
            ("retired", retired),
            ("after", after),
        ];
        let asked = asked.iter().filter_map(|(name, value)| {
            value.filter(|value| !value.is_empty()).map(|value| format!("{name}={}", quoted(value)))
        });
        let asked = asked.collect::<Vec<_>>().join("&");
        if asked.is_empty() { "/agents".to_owned() } else { format!("/agents?{asked}") }
    }

    /// The form by which people choose.
    pub fn form(&self) -> Markup {
        html! {
            form #filters .filters method="get" action="/agents" role="search" aria-label="Filter agents" {
                label .search { span .sr { "Part of the name" } (icon("search"))
                    input #search type="search" name="q" value=(self.words()) placeholder="Search agents" autocomplete="off";
                }
                label { span .sr { "State" }
                    select name="state" .is-chosen[!self.state().is_empty()] {
                        option value="" { "State: any" }
                        @for (name, label) in STATES { option value=(name) selected[self.state() == name] { (label) } }
                    }
                }
                @if self.retired.is_some() { input type="hidden" name="retired" value="shown"; }
                button .button { "Apply" }
                @if self.chooses() { a .button.is-plain href="/agents" { "Clear" } }
            }
        }
    }
}

/// The ways to further agents, and to those that were retired.
pub(super) fn further(which: &Which, shown: &[&Agent], goes_on: bool, retired: usize) -> Markup {
    let with_retired = which.retired.is_some();
    html! {
        nav .pager aria-label="Pages" {
            @if which.after.is_some() {
                a .button href=(which.address(None, with_retired)) rel="first" { "First page" }
            }
            @if retired > 0 {
                a .button.is-plain href=(which.address(None, !with_retired)) {
                    @if with_retired { "Without those that were retired" }
                    @else { (retired) " retired" @if retired == 1 { " agent" } @else { " agents" } }
                }
            }
            @if let Some(last) = shown.last().filter(|_| goes_on) {
                a .button href=(which.address(Some(&last.name), with_retired)) rel="next" {
                    "Next page " (icon("down"))
                }
            }
        }
    }
}

/// Instead of the list where no agent is chosen by the filters.
pub(super) fn nothing_meant() -> Markup {
    html! {
        section .empty {
            h2 { "Nothing matches" }
            p { "No agent fits these filters." }
            p { a .button href="/agents" { "Clear the filters" } }
        }
    }
}
