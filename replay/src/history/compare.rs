//! What differs between two states.

use serde::Serialize;
use serde_json::Value;

/// How deep objects are looked into: deeper ones are compared as a whole.
const DEPTH_MAX: usize = 8;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its name; of one inside another, with that one's name and a dot before.
    pub field: String,
    /// What it was; null where it was not there.
    pub before: Value,
    /// What it is; null where it is not there.
    pub after: Value,
}

/// The fields in which two states differ, in the order of their names. A field that is not there and
/// one that is null are the same.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", before, after, DEPTH_MAX, &mut found);
    found
}

fn compare(name: &str, before: &Value, after: &Value, depth: usize, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    let objects = before.is_object() || after.is_object();
    let comparable = |value: &Value| value.is_object() || value.is_null();
    if depth == 0 || !objects || !comparable(before) || !comparable(after) {
        let (before, after) = (before.clone(), after.clone());
        found.push(Change { field: name.to_owned(), before, after });
        return;
    }
    let names = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    };
    let mut fields = [names(before), names(after)].concat();
    fields.sort_unstable();
    fields.dedup();
    for field in fields {
        let of = |value: &Value| value.get(&field).cloned().unwrap_or_default();
        let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
        compare(&name, &of(before), &of(after), depth - 1, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_are_named_also_inside_others() {
        let before = json!({"a": 1, "b": {"c": 1, "d": null}, "e": [1], "f": null});
        let after = json!({"a": 1, "b": {"c": 2}, "e": [2], "g": {"h": true}});
        let named: Vec<_> = changes(&before, &after).into_iter().map(|c| c.field).collect();
        assert_eq!(named, ["b.c", "e", "g.h"]);
        assert_eq!(changes(&after, &after), []);
        assert_eq!(changes(&Value::Null, &json!({"x": 1})).len(), 1);
    }
}
