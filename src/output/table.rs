//! Tables and colours.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::neutral_line;

/// A terminal that says that it is narrower does not know how wide it is.
const WIDTH_MIN: u16 = 20;
/// How wide a terminal is taken to be that does not know.
const WIDTH_UNKNOWN: u16 = 120;
/// The longest text of a cell, in characters; what is longer is cut and marked.
const CELL_MAX_CHARS: usize = 200;

/// What a text says, by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// It went well.
    Good,
    /// Look at it.
    Warn,
    /// It went wrong.
    Bad,
    /// It goes on.
    Active,
    /// Less important.
    Quiet,
}

impl Tone {
    /// The tone of an execution's or agent's status.
    pub fn of_status(status: &str) -> Self {
        match status {
            "completed" | "active" | "ok" => Self::Good,
            "failed" | "fail" => Self::Bad,
            "running" => Self::Active,
            "pending" | "paused" | "warn" => Self::Warn,
            "cancelled" | "retired" => Self::Quiet,
            _ => Self::Plain,
        }
    }

    fn colour(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Warn => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Active => Some(Color::Cyan),
            Self::Quiet => Some(Color::DarkGrey),
        }
    }

    fn ansi(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Active => Some("36"),
            Self::Quiet => Some("90"),
        }
    }
}

/// A text in the colour of its tone, where colour is wanted.
pub fn paint(text: &str, tone: Tone, colour: bool) -> String {
    match tone.ansi().filter(|_| colour) {
        Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        None => text.to_owned(),
    }
}

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// A table of foreign texts, each made neutral.
pub struct Sheet {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Sheet {
    /// With these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<(String, Tone)>) {
        let neutral = |(text, tone): (String, Tone)| (cut(&neutral_line(&text)), tone);
        self.rows.push(cells.into_iter().map(neutral).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text, as wide as the terminal at most.
    pub fn render(&self, colour: bool) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        // Some terminals say that they have no columns: they don't know.
        if table.width().is_some_and(|columns| columns < WIDTH_MIN) {
            table.set_width(WIDTH_UNKNOWN);
        }
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = |(name, align): &(&'static str, Align)| {
            Cell::new(name).set_alignment(side(*align)).add_attribute(Attribute::Bold)
        };
        table.set_header(self.columns.iter().map(head));
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).map(|((text, tone), (_, align))| {
                let cell = Cell::new(text).set_alignment(side(*align));
                tone.colour().map_or(cell.clone(), |colour| cell.fg(colour))
            });
            table.add_row(cells);
        }
        table.trim_fmt()
    }
}

fn side(align: Align) -> CellAlignment {
    match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
