//! Puts the figures into a Markdown file, between the marks of their sections.

use std::path::Path;

use crate::Failure;
use crate::figures::Section;
use crate::machine::Machine;

/// Replaces what stands between `<!-- measured X -->` and `<!-- end X -->` for each section X; what
/// people wrote around stays.
pub fn update(path: &Path, machine: &Machine, sections: &[Section]) -> Result<(), Failure> {
    let mut text = std::fs::read_to_string(path)?;
    for section in sections {
        let (begin, end) = marks(section.letter);
        let from = text.find(&begin).map(|at| at + begin.len());
        let to = text.find(&end);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(format!("{} has no {begin} or no {end}", path.display()).into());
        };
        let measured = format!("\n{}\n{}.\n\n", section.markdown(), machine.line());
        text.replace_range(from..to, &measured);
    }
    Ok(std::fs::write(path, text)?)
}

fn marks(letter: char) -> (String, String) {
    (format!("<!-- measured {letter} -->\n"), format!("<!-- end {letter} -->"))
}
