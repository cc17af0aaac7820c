//! The decoder of stored events: one line as `domain/tests/stored_events.ndjson` has them, of any
//! type and version. What can be read is the same after it was written and read again.

#![no_main]

use execution_ledger_domain::Event;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|input: &[u8]| {
    // TYPE VERSION DATA, so that the fuzzer can change each of them.
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(3, ' ');
    let (Some(name), Some(version), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let Ok(version) = version.parse() else { return };
    let Ok(event) = Event::from_stored(name, version, data) else { return };
    let (name, newest) = event.type_and_version();
    let written = event.to_json();
    serde_json::from_str::<&RawValue>(&written).expect("what is written is JSON");
    let again = Event::from_stored(name, newest, &written).expect("what is written can be read");
    assert_eq!(again, event);
    assert_eq!(again.to_json(), written);
    event.texts();
});
