//! What the server answered: to be read, and to be passed on as it came.

use std::fmt;
use std::ops::Deref;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::ClientError;

/// An answer in JSON. It reads as a [`Value`]; [`Answer::ordered`] is for passing it on.
#[derive(Debug)]
pub struct Answer {
    value: Value,
    body: Vec<u8>,
}

impl Answer {
    /// From the body of an answer; an empty one is `null`.
    pub fn from_body(body: Vec<u8>) -> Result<Self, ClientError> {
        let body = if body.is_empty() { b"null".to_vec() } else { body };
        let value = serde_json::from_slice(&body).map_err(no_json)?;
        Ok(Self { value, body })
    }

    /// The same with the server's order of fields, which says what matters first.
    pub fn ordered(&self) -> Result<Ordered, ClientError> {
        serde_json::from_slice(&self.body).map_err(no_json)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn no_json(error: serde_json::Error) -> ClientError {
    ClientError::Unexpected(format!("its answer is no JSON: {error}"))
}

impl Deref for Answer {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// JSON whose objects keep the order of their fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// Neither list nor object.
    Scalar(Value),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Fields(Vec<(String, Self)>),
}

impl Ordered {
    /// Takes a field out of an object; `None` where there is none.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let Self::Fields(fields) = self else { return None };
        let index = fields.iter().position(|(field, _)| field == name)?;
        Some(fields.remove(index).1)
    }

    /// Adds a field at the end of an object.
    pub fn put(&mut self, name: &str, value: Self) {
        if let Self::Fields(fields) = self {
            fields.push((name.to_owned(), value));
        }
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Fields(fields) => serializer.collect_map(fields.iter().map(|(k, v)| (k, v))),
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Ordered::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Ordered::Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_passed_on_as_it_came() {
        let text = r#"{"z":[{"b":1,"a":-2}],"y":{"d":null,"c":0.1},"x":"\u001b","w":true}"#;
        let answer = Answer::from_body(text.into()).expect("JSON");
        assert_eq!(answer["y"]["c"], 0.1);
        let mut ordered = answer.ordered().expect("JSON");
        assert_eq!(serde_json::to_string(&ordered).expect("JSON"), text);
        assert!(ordered.take("z").is_some() && ordered.take("none").is_none());
        ordered.put("v", Ordered::List(Vec::new()));
        let text = r#"{"y":{"d":null,"c":0.1},"x":"\u001b","w":true,"v":[]}"#;
        assert_eq!(serde_json::to_string(&ordered).expect("JSON"), text);
    }

    #[test]
    fn an_empty_answer_is_null_and_another_must_be_json() {
        assert!(Answer::from_body(Vec::new()).expect("null").is_null());
        assert!(Answer::from_body(b"<html>".to_vec()).is_err());
    }
}
