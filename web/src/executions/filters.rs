//! Which executions are shown, as the page's address says it.

use maud::{Markup, html};

use super::bulk::{self, Deed};
use crate::answers::Agent;
use crate::interface::quoted;
use crate::words::icon;

/// What can stand in the address of the page. Everything else is passed on too, so that the interface
/// says what it does not know.
const NARROWING: [&str; 8] =
    ["q", "agent", "status", "triggered_by", "model", "min_cost", "from", "to"];
/// Rows of a page of the list: most. So many keep its HTML below 100 KB, with long titles too.
const ROWS_MAX: u32 = 50;
const STATUSES: [&str; 5] = ["pending", "running", "completed", "failed", "cancelled"];
const TRIGGERS: [&str; 8] =
    ["manual", "self_task", "mcp", "agent", "chat", "schedule", "paid", "retry"];

/// Which executions are shown, in which order, and which page of them.
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// As an address's query says it. What is empty was not chosen.
    pub fn read(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (unquoted(name), unquoted(value));
            (!value.trim().is_empty()).then_some((name, value))
        });
        Self(pairs.collect())
    }

    /// What was chosen.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All that was chosen under one name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// What narrows, as the interface is asked.
    pub fn narrowing(&self) -> impl Iterator<Item = (String, String)> {
        let narrowing = self.0.iter().filter(|(name, _)| NARROWING.contains(&name.as_str()));
        narrowing.map(|(name, value)| asked(name, value))
    }

    /// The list as it was before many of it were to be changed.
    pub fn back_to_list(&self) -> String {
        let narrowing = self.0.iter().filter(|(name, _)| NARROWING.contains(&name.as_str()));
        address(narrowing.cloned())
    }

    /// The preview of what is done to all that match.
    pub(super) fn all_that_match(&self, deed: Deed) -> String {
        let narrowing = self.0.iter().filter(|(name, _)| NARROWING.contains(&name.as_str()));
        let about = [("do", deed.word()), ("matching", "1")];
        let about = about.map(|(name, value)| (name.to_owned(), value.to_owned()));
        format!("{}?{}", bulk::ADDRESS, joined(about.into_iter().chain(narrowing.cloned())))
    }

    /// Whether not all executions are meant.
    pub fn is_narrowed(&self) -> bool {
        self.0.iter().any(|(name, _)| NARROWING.contains(&name.as_str()))
    }

    /// As the interface is asked for rows.
    pub fn for_rows(&self) -> String {
        joined(self.0.iter().map(|(name, value)| match value.parse::<u32>() {
            Ok(rows) if name == "limit" && rows > ROWS_MAX => (name.clone(), ROWS_MAX.to_string()),
            _ => asked(name, value),
        }))
    }

    /// As the interface is asked for sums.
    pub fn for_sums(&self) -> String {
        let all =
            self.0.iter().filter(|(name, _)| !["cursor", "sort", "limit"].contains(&name.as_str()));
        joined(all.map(|(name, value)| asked(name, value)))
    }

    /// The address of this page with another value.
    pub fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(own, _)| own != name).cloned();
        address(others.chain([(name.to_owned(), value.to_owned())]))
    }

    /// The address of this page without a value, from its first page on.
    pub fn without(&self, name: &str) -> String {
        address(self.0.iter().filter(|(own, _)| own != name && own != "cursor").cloned())
    }

    /// A column's head: the way to have the rows in its order.
    pub fn order(&self, label: &str, first: &str, second: &str) -> Markup {
        let now = self.value("sort").unwrap_or("-created_at");
        let (next, mark) = match now {
            _ if now == first => (second, "↓"),
            _ if now == second => (first, "↑"),
            _ => (first, ""),
        };
        let others = self.0.iter().filter(|(own, _)| own != "sort" && own != "cursor").cloned();
        let href = address(others.chain([("sort".to_owned(), next.to_owned())]));
        html! { a .order href=(href) { (label) " " span aria-hidden="true" { (mark) } } }
    }

    /// The form by which people choose.
    pub fn form(&self, agents: &[Agent]) -> Markup {
        let names: Vec<&str> = agents.iter().map(|agent| agent.name.as_str()).collect();
        html! {
            form #filters .filters method="get" action="/" role="search" aria-label="Filter executions" {
                label .search { span .sr { "Words of task or response" } (icon("search"))
                    input #search type="search" name="q" value=(self.text("q"))
                        placeholder="Search tasks and responses" autocomplete="off";
                }
                (self.choice("agent", "Agent", &names))
                (self.choice("status", "Status", &STATUSES))
                (self.choice("triggered_by", "Trigger", &TRIGGERS))
                details .more open[self.has_more()] {
                    summary .button { "More" }
                    div .card {
                        (self.field("model", "Model", "text"))
                        (self.field("min_cost", "Cost at least, $", "number"))
                        (self.field("from", "From day", "date"))
                        (self.field("to", "To day", "date"))
                    }
                }
                @if let Some(sort) = self.value("sort") { input type="hidden" name="sort" value=(sort); }
                button .button { "Apply" }
                @if self.is_narrowed() { a .button.is-plain href="/" { "Clear" } }
            }
        }
    }

    fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or("")
    }

    fn has_more(&self) -> bool {
        ["model", "min_cost", "from", "to"].iter().any(|name| self.value(name).is_some())
    }

    fn choice(&self, name: &str, label: &str, values: &[&str]) -> Markup {
        let chosen = self.value(name);
        html! {
            label { span .sr { (label) }
                select name=(name) .is-chosen[chosen.is_some()] {
                    option value="" { (label) ": any" }
                    @for value in values {
                        option value=(value) selected[chosen == Some(value)] { (value.replace('_', " ")) }
                    }
                    @if let Some(other) = chosen.filter(|chosen| !values.contains(chosen)) {
                        option value=(other) selected { (other) }
                    }
                }
            }
        }
    }

    fn field(&self, name: &str, label: &str, kind: &str) -> Markup {
        // Whatever a link of elsewhere says of a time is shown as its day.
        let value = self.text(name);
        let value = if kind == "date" { value.get(..10).unwrap_or(value) } else { value };
        html! {
            label { (label)
                input type=(kind) name=(name) value=(value) step=[(kind == "number").then_some("any")]
                    min=[(kind == "number").then_some("0")];
            }
        }
    }
}

fn address(pairs: impl Iterator<Item = (String, String)>) -> String {
    let query = joined(pairs);
    if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
}

fn joined(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs = pairs.map(|(name, value)| format!("{}={}", quoted(&name), quoted(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A day of the form stands for its first moment, or the end of it, in UTC.
fn asked(name: &str, value: &str) -> (String, String) {
    let is_day = value.len() == 10 && value.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let value = match name {
        "from" if is_day => format!("{value}T00:00:00Z"),
        "to" if is_day => day_after(value),
        _ => value.to_owned(),
    };
    (name.to_owned(), value)
}

fn day_after(day: &str) -> String {
    let parsed = day.parse::<chrono::NaiveDate>().ok().and_then(|day| day.succ_opt());
    parsed.map_or_else(|| day.to_owned(), |next| format!("{next}T00:00:00Z"))
}

/// A part of a query as it was before it was quoted; what can't be read stands as U+FFFD.
fn unquoted(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let quoted = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            (b'+', _) => Some((b' ', tail)),
            _ => None,
        };
        let (byte, after) = quoted.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_form_leaves_empty_is_not_asked_for() {
        let filters = Filters::read("q=a+b%26c&agent=&status=failed&cursor=x");
        assert_eq!(filters.for_rows(), "q=a%20b%26c&status=failed&cursor=x");
        assert_eq!(filters.for_sums(), "q=a%20b%26c&status=failed");
        assert!(filters.is_narrowed());
        assert_eq!(filters.without("status"), "/?q=a%20b%26c");
        assert_eq!(Filters::read("").without("q"), "/");
    }

    #[test]
    fn days_are_whole_days() {
        let filters = Filters::read("from=2026-11-20&to=2026-11-21");
        let asked = "from=2026-11-20T00%3A00%3A00Z&to=2026-11-22T00%3A00%3A00Z";
        assert_eq!(filters.for_rows(), asked);
    }

    #[test]
    fn what_is_badly_quoted_is_taken_as_it_is() {
        for (query, value) in [("q=%", "%"), ("q=%zz", "%zz"), ("q=%ff", "\u{fffd}")] {
            assert_eq!(Filters::read(query).value("q"), Some(value));
        }
    }
}
