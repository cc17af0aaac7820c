//! A timeline as a picture: a block of lanes for each agent, widths in hundredths of the window.

use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::gather::{Bar, Column};
use super::window::Window;
use crate::interface::quoted;
use crate::words::{dollars, duration, exact, first_line, number};

/// Lanes of an agent at most; beyond them bars lie over each other in the last one.
const LANES_MAX: usize = 20;
/// Height of a lane with the gap below it, in pixels.
const LANE_HEIGHT: usize = 24;
/// Height of a bar, in pixels.
const BAR_HEIGHT: usize = 20;
/// A bar is at least so wide, in hundredths of the window, that it can be seen. What can be pointed at
/// is wider: its style says how many pixels.
const BAR_MIN_WIDTH: f64 = 0.35;
/// What begins after this, in hundredths, has no place to its right for what can be pointed at.
const EDGE: f64 = 98.5;
/// Wide enough for words to stand in it, in hundredths.
const WORDS_MIN_WIDTH: f64 = 5.0;
/// A wait that is shown, in hundredths.
const WAIT_MIN_WIDTH: f64 = 0.3;
/// A title in the picture: so much of it, in characters.
const TITLE_MAX_CHARS: usize = 60;
/// Height of the columns of an agent, in pixels.
const COLUMNS_HEIGHT: f64 = 56.0;
/// The same, where a whole number is wanted.
const COLUMNS_PIXELS: usize = 56;

/// A part of the window, as an attribute of SVG.
struct Part(f64);

impl Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:.2}%", self.0)
    }
}

/// The axis: when what stands below it was.
pub(super) fn axis(window: &Window) -> Markup {
    html! {
        svg .axis width="100%" height="24" aria-hidden="true" focusable="false" {
            @for (at, words) in window.ticks() {
                @let place = window.place(at);
                @let anchor = if place < 3.0 { "start" } else if place > 97.0 { "end" } else { "middle" };
                text x=(Part(place)) y="16" text-anchor=(anchor) { (words) }
            }
        }
    }
}

fn grid(window: &Window, height: usize) -> Markup {
    html! {
        @for (at, _) in window.ticks() {
            @let x = Part(window.place(at));
            line .tick x1=(x) x2=(x) y1="0" y2=(height) {}
        }
        @if window.now <= window.to {
            @let x = Part(window.place(window.now));
            line .now x1=(x) x2=(x) y1="0" y2=(height) {}
        }
    }
}

/// The executions of an agent, bars that overlap in lanes of their own.
pub(super) fn bars(window: &Window, agent: &str, bars: &[Bar]) -> Markup {
    let places = places(bars);
    let height = places.iter().map(|place| place.lane + 1).max().unwrap_or(1) * LANE_HEIGHT;
    html! {
        svg .lanes id={ "lane-" (agent) } width="100%" height=(height) role="group"
            aria-label={ "Executions of " (agent) }
        {
            (grid(window, height))
            @for (index, (bar, place)) in bars.iter().zip(&places).enumerate() {
                (drawn(window, bar, place, index == 0))
            }
        }
    }
}

/// Where a bar stands.
struct Place {
    /// Its lane: the first one that is free when it starts.
    lane: usize,
    /// Since when its lane is free: what it waited before that is not drawn.
    free_since: DateTime<Utc>,
}

/// Where bars stand that start one after the other. Only what runs at the same time takes lanes of its
/// own, so that an agent has as many as it has slots, however often it ran: what is too short to be
/// seen by itself is from closer by. A wait takes no lane.
fn places(bars: &[Bar]) -> Vec<Place> {
    let mut ends: Vec<DateTime<Utc>> = Vec::new();
    let place_of = |bar: &Bar| {
        let free = ends.iter().position(|taken| *taken <= bar.start);
        let lane = free.unwrap_or(ends.len()).min(LANES_MAX - 1);
        if lane == ends.len() {
            ends.push(DateTime::UNIX_EPOCH);
        }
        let free_since = ends[lane];
        ends[lane] = free_since.max(bar.end.unwrap_or(DateTime::<Utc>::MAX_UTC));
        Place { lane, free_since }
    };
    bars.iter().map(place_of).collect()
}

/// Where a bar begins. At the right edge it stays in the picture, however thin it is.
fn start(window: &Window, bar: &Bar) -> f64 {
    window.place(bar.start).min(100.0 - BAR_MIN_WIDTH)
}

fn width(window: &Window, bar: &Bar) -> f64 {
    let end = window.place(bar.end.unwrap_or(window.now));
    (end - window.place(bar.start)).max(BAR_MIN_WIDTH)
}

fn drawn(window: &Window, bar: &Bar, place: &Place, is_first: bool) -> Markup {
    let record = &bar.record;
    let (start, width) = (start(window, bar), width(window, bar));
    let wait = start - window.place(bar.created.max(place.free_since));
    let top = place.lane * LANE_HEIGHT;
    let title = title(bar);
    let is_last = if start > EDGE { " is-last" } else { "" };
    let grows = (record.status == "running").then(|| bar.start.timestamp_millis());
    html! {
        @if wait >= WAIT_MIN_WIDTH {
            line .wait x1=(Part(start - wait)) x2=(Part(start)) y1=(top + BAR_HEIGHT / 2) y2=(top + BAR_HEIGHT / 2) {}
        }
        a id={ "b-" (record.execution_id) } href=(record.address()) tabindex=(if is_first { "0" } else { "-1" }) {
            title { (title) " – " (about(bar)) }
            svg class={ "bar by-" (record.triggered_by) " is-" (record.status) (is_last) }
                x=(Part(start)) y=(top) width=(Part(width)) height=(BAR_HEIGHT) data-grows=[grows]
            {
                rect .hit height="100%" {}
                rect .fill width="100%" height="100%" rx="4" {}
                @if width >= WORDS_MIN_WIDTH { svg width="100%" height="100%" { text x="7" y="14" { (title) } } }
            }
        }
    }
}

/// What an execution is called.
pub(super) fn title(bar: &Bar) -> String {
    let message = bar.record.message.as_deref();
    message.map_or_else(|| "erased".to_owned(), |text| first_line(text, TITLE_MAX_CHARS))
}

/// What there is to say of an execution in one line.
fn about(bar: &Bar) -> String {
    let record = &bar.record;
    let trigger = record.triggered_by.replace('_', " ");
    let took = record.duration_ms.map(|ms| format!(", {}", duration(ms))).unwrap_or_default();
    let began = exact(&bar.start.to_rfc3339());
    let ended = !record.is_open() && record.started_at.is_some();
    let cost = match record.cost_usd {
        Some(usd) => format!(", {}", dollars(usd)),
        None if ended => ", cost unknown".to_owned(),
        None => String::new(),
    };
    format!("{trigger}, {}{took}{cost}, {began}", record.status)
}

/// How many executions of an agent there were: a column leads to its own time.
pub(super) fn columns(
    window: &Window,
    agent: &str,
    columns: &[Column],
    hours: i64,
    most: u64,
) -> Markup {
    html! {
        svg .lanes id={ "lane-" (agent) } width="100%" height=(COLUMNS_HEIGHT) role="group"
            aria-label={ "How many executions of " (agent) }
        {
            (grid(window, COLUMNS_PIXELS))
            @for (index, column) in columns.iter().enumerate() {
                (column_of(window, agent, column, hours, most, index == 0))
            }
        }
    }
}

fn column_of(
    window: &Window,
    agent: &str,
    column: &Column,
    hours: i64,
    most: u64,
    is_first: bool,
) -> Markup {
    let to = column.from + TimeDelta::hours(hours);
    let (left, right) = (window.place(column.from), window.place(to));
    let height = |count: u64| {
        let part = count as f64 / most.max(1) as f64;
        if count == 0 { 0.0 } else { (part * (COLUMNS_HEIGHT - 4.0)).max(2.0) }
    };
    let (all, failed) = (height(column.total), height(column.failed));
    let width = (right - left - 0.15).max(BAR_MIN_WIDTH);
    html! {
        a id={ "c-" (agent) "-" (column.from.timestamp()) } href=(closer(agent, column.from, to, window))
            tabindex=(if is_first { "0" } else { "-1" })
        {
            title { (number(column.total)) @if column.total == 1 { " execution – " } @else { " executions – " } (told(column, to)) }
            // The whole height can be pointed at, however few there were.
            rect .hit x=(Part(left)) width=(Part(width)) y="0" height=(COLUMNS_PIXELS) {}
            rect .column x=(Part(left)) width=(Part(width)) y={ (format!("{:.1}", COLUMNS_HEIGHT - all)) }
                height={ (format!("{all:.1}")) } {}
            @if column.failed > 0 {
                rect .column.is-failed x=(Part(left)) width=(Part(width))
                    y={ (format!("{:.1}", COLUMNS_HEIGHT - failed)) } height={ (format!("{failed:.1}")) } {}
            }
        }
    }
}

fn told(column: &Column, to: DateTime<Utc>) -> String {
    let of = |count: u64, what: &str| {
        if count == 0 { String::new() } else { format!("{} {what}, ", number(count)) }
    };
    let (from, to) = (column.from.format("%Y-%m-%d %H:%M"), to.format("%Y-%m-%d %H:%M"));
    format!("{}{}{from} to {to} UTC", of(column.running, "running"), of(column.failed, "failed"))
}

/// Where a column leads: to the executions of its time, or closer to them.
fn closer(agent: &str, from: DateTime<Utc>, to: DateTime<Utc>, window: &Window) -> String {
    let mut address = window.with(from, to);
    if window.agent.is_none() {
        address.push_str("&agent=");
        address.push_str(&quoted(agent));
    }
    address
}
