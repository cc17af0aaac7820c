//! Schemas of tools, in the part of JSON Schema that every client and model provider reads.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Schemas lie within schemas no deeper than this.
const DEPTH_MAX: usize = 32;

/// The schema of what a tool takes.
pub(super) fn of_input<T: JsonSchema>() -> Arc<JsonObject> {
    plain::<T>(SchemaSettings::draft2020_12())
}

/// The schema of what a tool answers.
pub(super) fn of_output<T: JsonSchema>() -> Arc<JsonObject> {
    plain::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn plain<T: JsonSchema>(settings: SchemaSettings) -> Arc<JsonObject> {
    // References to other places of a schema are not followed everywhere.
    let inline = settings.with(|settings| settings.inline_subschemas = true);
    let Value::Object(mut schema) = inline.into_generator().into_root_schema_for::<T>().to_value()
    else {
        unreachable!("the schema of a structure is an object");
    };
    for of_the_type_alone in ["title", "description", "$schema"] {
        schema.remove(of_the_type_alone);
    }
    simplify(&mut schema, DEPTH_MAX);
    Arc::new(schema)
}

fn simplify(schema: &mut JsonObject, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    // "Not given" is said by leaving a property out.
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    // Sizes of Rust's numbers are no formats of JSON Schema.
    let known = |format: &str| matches!(format, "date-time" | "uuid");
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| !known(format)) {
        schema.remove("format");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    one_of_names(schema);
    split_types(schema);
    for key in ["properties", "items", "anyOf", "oneOf"] {
        match (key, schema.get_mut(key)) {
            ("items", Some(Value::Object(inner))) => simplify(inner, depth),
            (_, Some(Value::Object(inner))) => inner
                .values_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|inner| simplify(inner, depth)),
            (_, Some(Value::Array(inner))) => inner
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|inner| simplify(inner, depth)),
            _ => {}
        }
    }
}

/// One of several named constants is an enumeration.
fn one_of_names(schema: &mut JsonObject) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let names: Option<Vec<Value>> = choices
        .iter()
        .map(|choice| choice.get("const").filter(|c| c.is_string()).cloned())
        .collect();
    if let Some(names) = names {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), Value::Array(names));
    }
}

/// "This type or null" is said by two schemas of one type each.
fn split_types(schema: &mut JsonObject) {
    let Some(Value::Array(types)) = schema.get("type") else { return };
    let types = types.clone();
    let description = schema.remove("description");
    let one = |wanted: &Value| {
        if wanted == "null" {
            return json!({"type": "null"});
        }
        let mut own = schema.clone();
        own.insert("type".to_owned(), wanted.clone());
        Value::Object(own)
    };
    let split: Vec<Value> = types.iter().map(one).collect();
    schema.clear();
    if let Some(description) = description {
        schema.insert("description".to_owned(), description);
    }
    schema.insert("anyOf".to_owned(), Value::Array(split));
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    /// A choice.
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Choice {
        /// The one.
        One,
        /// The other.
        Other,
    }

    #[derive(Serialize, JsonSchema)]
    struct Answer {
        /// Which
        /// one.
        choice: Choice,
        count: Option<u32>,
    }

    #[test]
    fn a_schema_has_no_references_no_lists_of_types_and_no_foreign_formats() {
        let schema = Value::Object(of_output::<Answer>().as_ref().clone());
        let expected = json!({
            "type": "object",
            "properties": {
                "choice": {"type": "string", "enum": ["one", "other"], "description": "Which one."},
                "count": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
            },
            "required": ["choice", "count"],
        });
        assert_eq!(schema, expected);
    }
}
