//! Markdown as HTML: a few elements of our own, and nothing of what the text would have a browser do.
//!
//! HTML in it is text. Links lead to `http` and `https` alone, images become links, and nothing is
//! fetched. What is nested too deeply loses its form, and a text that would grow too large has none.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped};
use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::texts::visible;

/// Elements within each other: most. What is deeper is shown without its own.
const NESTED_MAX: usize = 24;
/// Elements of one text: most.
const ELEMENTS_MAX: usize = 20_000;
/// The HTML of one text: so much at most, in bytes.
const HTML_MAX_BYTES: usize = 1024 * 1024;
/// The level below which there are no headings.
const LEVEL_MAX: u8 = 6;

/// A text as HTML; nothing where it has no form, or would have too much of it.
pub(super) fn formatted(text: &str, headings_from: u8) -> Option<Markup> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let text = visible(text);
    let mut writer = Writer::new(headings_from);
    for event in Parser::new_ext(&text, options) {
        writer.take(event);
        if writer.elements > ELEMENTS_MAX || writer.html.len() > HTML_MAX_BYTES {
            return None;
        }
    }
    writer.has_form.then_some(PreEscaped(writer.html))
}

/// What was begun and is to be ended.
enum Open {
    /// A paragraph, which nothing is nested in.
    Paragraph,
    /// An element.
    Element(&'static str),
    /// A heading of this level, which began here.
    Heading(u8, usize),
    /// A cell of a table, which began here.
    Cell(usize),
    /// A link, or the text of one that leads nowhere.
    Link { to: String, leads: bool, text_from: usize },
    /// Something that is not shown as such.
    Nothing,
}

struct Writer {
    html: String,
    open: Vec<Open>,
    /// How many elements are within each other now.
    nested: usize,
    elements: usize,
    has_form: bool,
    headings_from: u8,
    /// The level of the heading before: the next one is one deeper at most.
    level: u8,
    in_head: bool,
    columns: Vec<Alignment>,
    column: usize,
    in_link: bool,
}

impl Writer {
    fn new(headings_from: u8) -> Self {
        Self {
            html: String::new(),
            open: Vec::new(),
            nested: 0,
            elements: 0,
            has_form: false,
            headings_from,
            level: headings_from.saturating_sub(1),
            in_head: false,
            columns: Vec::new(),
            column: 0,
            in_link: false,
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&text),
            Event::Code(text) => {
                self.formed();
                self.html.push_str("<code>");
                self.text(&text);
                self.html.push_str("</code>");
            }
            Event::SoftBreak | Event::HardBreak => self.html.push('\n'),
            Event::Rule => {
                self.formed();
                self.html.push_str("<hr>");
            }
            Event::TaskListMarker(done) => self.html.push_str(if done { "☑ " } else { "☐ " }),
        }
    }

    fn formed(&mut self) {
        self.has_form = true;
        self.elements += 1;
    }

    fn text(&mut self, text: &str) {
        push_escaped(&mut self.html, &visible(text));
    }

    fn begin(&mut self, tag: Tag<'_>) {
        let open = match tag {
            Tag::Paragraph | Tag::HtmlBlock => {
                self.elements += 1;
                self.html.push_str("<p>");
                Open::Paragraph
            }
            Tag::Heading { level, .. } => self.begin_heading(level),
            Tag::BlockQuote(_) => self.element("blockquote", "<blockquote>"),
            Tag::CodeBlock(_) => {
                // Wide code is scrolled, also by keyboard.
                self.element("code></pre", "<pre tabindex=\"0\"><code>")
            }
            Tag::List(None) => self.element("ul", "<ul>"),
            Tag::List(Some(from)) => self.element("ol", &format!("<ol start=\"{from}\">")),
            Tag::Item => self.element("li", "<li>"),
            Tag::Table(columns) => {
                self.columns = columns;
                self.element("table></div", "<div class=\"wide\" tabindex=\"0\"><table>")
            }
            Tag::TableHead => {
                self.in_head = true;
                self.column = 0;
                self.element("tr></thead", "<thead><tr>")
            }
            Tag::TableRow => {
                self.column = 0;
                self.element("tr", "<tr>")
            }
            Tag::TableCell => {
                self.elements += 1;
                Open::Cell(self.html.len())
            }
            Tag::Emphasis => self.element("em", "<em>"),
            Tag::Strong => self.element("strong", "<strong>"),
            Tag::Strikethrough => self.element("del", "<del>"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.begin_link(&dest_url),
            // Nothing of these was asked for.
            Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => Open::Nothing,
        };
        self.open.push(open);
    }

    /// Begins an element, unless it would be nested too deeply.
    fn element(&mut self, name: &'static str, begin: &str) -> Open {
        self.formed();
        if self.nested >= NESTED_MAX {
            return Open::Nothing;
        }
        self.nested += 1;
        self.html.push_str(begin);
        Open::Element(name)
    }

    fn begin_heading(&mut self, level: HeadingLevel) -> Open {
        self.formed();
        let wanted = self.headings_from.saturating_add(level as u8).saturating_sub(1);
        let level = wanted.min(self.level.saturating_add(1)).min(LEVEL_MAX);
        let from = self.html.len();
        // A string takes whatever is written.
        let written = write!(self.html, "<h{level}>");
        debug_assert!(written.is_ok());
        Open::Heading(level, from)
    }

    fn begin_link(&mut self, to: &CowStr<'_>) -> Open {
        self.formed();
        let to = visible(to).into_owned();
        let leads = !self.in_link && leads_elsewhere(&to);
        if leads {
            self.in_link = true;
            self.html.push_str("<a href=\"");
            push_escaped(&mut self.html, &to);
            self.html.push_str("\" title=\"");
            push_escaped(&mut self.html, &to);
            self.html.push_str("\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">");
        }
        Open::Link { to, leads, text_from: self.html.len() }
    }

    fn end(&mut self, tag: TagEnd) {
        match self.open.pop() {
            Some(Open::Element(name)) => {
                self.nested = self.nested.saturating_sub(1);
                self.html.extend(["</", name, ">"]);
            }
            Some(Open::Paragraph) => self.html.push_str("</p>"),
            Some(Open::Heading(level, from)) => self.end_heading(level, from),
            Some(Open::Cell(from)) => self.end_cell(from),
            Some(Open::Link { to, leads, text_from }) => self.end_link(&to, leads, text_from),
            Some(Open::Nothing) | None => {}
        }
        if tag == TagEnd::TableHead {
            self.in_head = false;
        }
    }

    /// A heading without words is none.
    fn end_heading(&mut self, level: u8, from: usize) {
        if self.html.len() == from + "<h1>".len() {
            self.html.truncate(from);
            return;
        }
        self.level = level;
        // A string takes whatever is written.
        let written = write!(self.html, "</h{level}>");
        debug_assert!(written.is_ok());
    }

    /// A cell of the head without words heads nothing.
    fn end_cell(&mut self, from: usize) {
        let is_head = self.in_head && self.html.len() > from;
        let begin = match (self.columns.get(self.column), is_head) {
            (Some(Alignment::Right), true) => "<th scope=\"col\" class=\"is-right\">",
            (Some(Alignment::Center), true) => "<th scope=\"col\" class=\"is-center\">",
            (_, true) => "<th scope=\"col\">",
            (Some(Alignment::Right), false) => "<td class=\"is-right\">",
            (Some(Alignment::Center), false) => "<td class=\"is-center\">",
            (_, false) => "<td>",
        };
        self.column += 1;
        self.html.insert_str(from, begin);
        self.html.push_str(if is_head { "</th>" } else { "</td>" });
    }

    /// A link without words shows where it leads; one that leads nowhere says where it would.
    fn end_link(&mut self, to: &str, leads: bool, text_from: usize) {
        let is_empty = self.html.len() == text_from;
        if leads {
            self.in_link = false;
            if is_empty {
                push_escaped(&mut self.html, to);
            }
            self.html.push_str("</a>");
        } else if is_empty {
            push_escaped(&mut self.html, to);
        } else if !to.is_empty() && !self.in_link {
            self.html.push_str(" <span class=\"quiet\">(");
            push_escaped(&mut self.html, to);
            self.html.push_str(")</span>");
        }
    }
}

/// Whether an address is one of the web: of everything else a browser might make something.
fn leads_elsewhere(to: &str) -> bool {
    let begins = |scheme: &str| {
        to.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    let is_plain = to.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '\\');
    (begins("http://") || begins("https://")) && is_plain
}

fn push_escaped(html: &mut String, text: &str) {
    html.reserve(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
