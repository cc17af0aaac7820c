//! `docs/EVENTS.md` is generated from the event types; this keeps the two equal.

use std::fmt::Write as _;
use std::path::Path;

use execution_ledger_domain::wire;
use serde_json::Value;

const HEAD: &str = "# Events

<!-- Generated from the event types by `UPDATE_DOCS=1 cargo test -p execution-ledger-domain --test events_md`. -->

Every state change is one of these events, appended to its stream and never changed. An event has a
type, `category.fact`, and a schema version; old versions are read through upcasters and never
rewritten. Around the data below, every event carries its id, position, stream, revision,
`recorded_at`, actor, correlation id, causation id and, where the caller sent one, trace context.

Free text stands beside an event, not in it: a field of type *content* holds the salted SHA-256 and
the length of the text. Money is an integer number of nano-dollars. Times are RFC 3339 in UTC with
six decimal places. Integers are below 2^53.
";

#[expect(clippy::disallowed_methods, reason = "this test is about a file of the repository")]
#[test]
fn the_page_of_events_says_what_the_types_say() {
    let mut page = HEAD.to_owned();
    let mut shapes = std::collections::BTreeMap::new();
    for (type_name, version, schema) in wire::schemas() {
        let schema = schema.to_value();
        let described = text(&schema, "description");
        write!(page, "\n## `{type_name}`\n\nVersion {version}. {described}\n").expect("a string");
        fields(&mut page, &schema);
        for (name, shape) in schema["$defs"].as_object().into_iter().flatten() {
            shapes.insert(name.clone(), shape.clone());
        }
    }
    page.push_str("\n# Shapes\n");
    for (name, shape) in shapes {
        let described = text(&shape, "description");
        write!(page, "\n## {name}\n\n{described}\n").expect("a string");
        values(&mut page, &shape);
        fields(&mut page, &shape);
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/EVENTS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/EVENTS.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/EVENTS.md is stale: run this test with UPDATE_DOCS=1");
}

fn text(schema: &Value, key: &str) -> String {
    schema[key].as_str().unwrap_or_default().replace('\n', " ").trim().to_owned()
}

fn fields(page: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object().filter(|fields| !fields.is_empty())
    else {
        return;
    };
    page.push_str("\n| field | type | | meaning |\n|---|---|---|---|\n");
    for (name, property) in properties {
        let required =
            schema["required"].as_array().is_some_and(|all| all.contains(&name.as_str().into()));
        let optional = if required { "" } else { "optional" };
        let meaning = text(property, "description");
        writeln!(page, "| `{name}` | {} | {optional} | {meaning} |", shape(property))
            .expect("a string");
    }
}

/// The values of an enumeration.
fn values(page: &mut String, schema: &Value) {
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let mut rows = String::new();
    for variant in variants {
        let meaning = text(variant, "description");
        if let Some(value) = variant["const"].as_str() {
            writeln!(rows, "| `{value}` | {meaning} |").expect("a string");
        }
        for (name, property) in variant["properties"].as_object().into_iter().flatten() {
            writeln!(rows, "| `{{\"{name}\": {}}}` | {meaning} |", shape(property))
                .expect("a string");
        }
    }
    let plain = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for value in plain {
        writeln!(rows, "| `{value}` | |").expect("a string");
    }
    if !rows.is_empty() {
        write!(page, "\n| value | meaning |\n|---|---|\n{rows}").expect("a string");
    }
}

fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return match name {
            "ContentRef" => "content".to_owned(),
            "NanoUsd" => "nano-dollars".to_owned(),
            "Timestamp" => "time".to_owned(),
            "Digest" => "SHA-256".to_owned(),
            _ => format!("[{name}](#{})", name.to_lowercase()),
        };
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            let shapes: Vec<String> =
                choices.iter().filter(|choice| choice["type"] != "null").map(shape).collect();
            return shapes.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", shape(&schema["items"])),
        Value::String(name) if name == "object" => {
            format!("map to {}", shape(&schema["additionalProperties"]))
        }
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let named = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            let named = named.map(|name| if name == "array" { "list" } else { name });
            named.collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}
