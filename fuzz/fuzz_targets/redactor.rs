//! The redactor: what it answers holds no secret that it would find, or that it was told.

#![no_main]

use execution_ledger_process::redact::{LineState, Redactor};
use libfuzzer_sys::fuzz_target;

/// A secret that a run was given, with characters that JSON writes otherwise.
const TOLD: &str = "corr\"ect/horse\\battery";

// The first two bytes say where a line is to be split.
fuzz_target!(|input: &[u8]| {
    let Some((at, text)) = input.split_first_chunk::<2>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let told = Redactor::with_secrets(&[TOLD.to_owned()]);
    for redactor in [Redactor::global(), &told] {
        let (clean, found) = redactor.redact(text);
        assert_eq!(found > 0, redactor.finds_secret(text));
        assert!(found > 0 || clean == text);
        let (again, more) = redactor.redact(&clean);
        assert_eq!((again.as_ref(), more), (clean.as_ref(), 0), "done again it changes nothing");
        let at = text.floor_char_boundary(usize::from(u16::from_be_bytes(*at)));
        let split = redactor.split_near(text, at);
        assert!(text.is_char_boundary(split.at) && split.at <= text.len());
        let mut state = LineState::default();
        for line in text.lines() {
            redactor.redact_line(&mut state, line);
        }
        let mut state = LineState::default();
        redactor.redact_line(&mut state, &text[..split.at]);
        state.set_inside(split.inside);
        redactor.redact_line(&mut state, &text[split.at..]);
    }
    let (clean, _) = told.redact(text);
    assert!(!clean.contains(TOLD), "what it was told is gone");
});
