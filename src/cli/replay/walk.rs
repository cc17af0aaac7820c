//! Event by event in a terminal.

use std::io::{self, Read as _};

use execution_ledger_replay::history::Replay;
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};

use super::{fault, told};
use crate::cli::{Exit, Failure};
use crate::output::Output;

/// The most bytes of one press of a key: an arrow's escape sequence has three.
const KEY_MAX_BYTES: usize = 8;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Next,
    Previous,
    Quit,
    Interrupt,
    Nothing,
}

impl Wish {
    fn of(key: &[u8]) -> Self {
        match key {
            [] | b"q" | b"Q" | b"\x1b" | b"\x04" => Self::Quit,
            b"\x03" => Self::Interrupt,
            // With right and down, left and up: either way that a terminal may send them.
            b"\r" | b"\n" | b" " | b"n" | [0x1b, b'[' | b'O', b'C' | b'B'] => Self::Next,
            b"p" | [0x1b, b'[' | b'O', b'D' | b'A'] => Self::Previous,
            _ => Self::Nothing,
        }
    }
}

/// A terminal that gives each key at once and shows none; as before, once this is dropped.
struct Keys {
    before: Termios,
}

impl Keys {
    fn take() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut now = before.clone();
        // Without ISIG an interrupt is a key too, so the terminal is always put back.
        now.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
        now.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        now.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        tcsetattr(io::stdin(), SetArg::TCSANOW, &now)?;
        Ok(Self { before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.before).ok();
    }
}

/// Walks through the events by keys; the way back shows the event before again.
pub(super) fn walk(history: &Replay, output: &Output) -> Result<Exit, Failure> {
    let terminal = |error: nix::Error| Failure::Fault(format!("the terminal: {error}"));
    let _keys = Keys::take().map_err(terminal)?;
    output.remark("Enter or an arrow: the next event; p: the one before; q: the end");
    let mut index = 0;
    show(history, index, output)?;
    let mut input = io::stdin().lock();
    loop {
        let mut key = [0; KEY_MAX_BYTES];
        let read = input.read(&mut key);
        let read = read.map_err(|error| Failure::Fault(format!("the terminal: {error}")))?;
        match Wish::of(&key[..read]) {
            Wish::Quit => return Ok(Exit::Success),
            Wish::Interrupt => return Ok(Exit::Cancelled),
            Wish::Next if index + 1 == history.len() => {
                output.remark("this was the last event at that moment; q ends");
            }
            Wish::Next => {
                index += 1;
                show(history, index, output)?;
            }
            Wish::Previous if index > 0 => {
                index -= 1;
                show(history, index, output)?;
            }
            Wish::Previous | Wish::Nothing => {}
        }
    }
}

fn show(history: &Replay, index: usize, output: &Output) -> Result<(), Failure> {
    match history.step(index).map_err(|error| fault(&error))? {
        Some(step) => output.line(&told(&step, index, history.len(), output.colour())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_on_back_and_out() {
        for (key, wish) in [
            (b"\n".as_slice(), Wish::Next),
            (b"\x1b[C", Wish::Next),
            (b"\x1bOB", Wish::Next),
            (b"p", Wish::Previous),
            (b"\x1b[A", Wish::Previous),
            (b"q", Wish::Quit),
            (b"\x1b", Wish::Quit),
            (b"", Wish::Quit),
            (b"\x03", Wish::Interrupt),
            (b"x", Wish::Nothing),
        ] {
            assert_eq!(Wish::of(key), wish, "{key:?}");
        }
    }
}
