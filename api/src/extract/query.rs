//! Queries: every parameter is known by its name.

use std::str::FromStr;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::words::WHOLE_NUMBER;
use crate::problem::{Code, Problem};
use crate::state::App;

/// The parameters of a query, taken one by one by name; what is left over is refused.
pub struct Query {
    left: Vec<(String, String)>,
}

/// Parameters of a query: most.
pub(crate) const PARAMETERS_MAX: usize = 32;

impl Query {
    /// From the request's address.
    pub fn of(parts: &Parts) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        if text.is_empty() {
            return Ok(Self { left: Vec::new() });
        }
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(Code::MalformedRequest, error.to_string()))?
            .0;
        if pairs.len() > PARAMETERS_MAX {
            let detail = format!("at most {PARAMETERS_MAX} parameters");
            return Err(Problem::new(Code::MalformedRequest, detail).limit(PARAMETERS_MAX as u64));
        }
        for (index, (name, _)) in pairs.iter().enumerate() {
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid_parameter(name, "it stands in the query twice"));
            }
        }
        Ok(Self { left: pairs })
    }

    /// The parameter's text, if it is there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let index = self.left.iter().position(|(given, _)| given == name)?;
        Some(self.left.swap_remove(index).1)
    }

    /// The parameter as something that is written as text.
    pub fn parsed<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: std::fmt::Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = text.parse();
        parsed
            .map(Some)
            .map_err(|error: T::Err| Problem::invalid_parameter(name, error.to_string()))
    }

    /// The parameter as a whole number, however large.
    pub fn whole(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| Problem::invalid_parameter(name, WHOLE_NUMBER))
    }

    /// The parameter as one of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Problem::invalid_parameter(name, format!("it must be one of: {}", known.join(", ")))
        })
    }

    /// The parameter as a number from `least` to `most`, or `default` where it is not there.
    pub fn number(
        &mut self,
        name: &str,
        (least, most): (u64, u64),
        default: u64,
    ) -> Result<u64, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => {
                let detail = format!("it must be a whole number from {least} to {most}");
                Err(Problem::invalid_parameter(name, detail).limit(most))
            }
        }
    }

    /// Refuses what nobody asked for.
    pub fn finish(self) -> Result<(), Problem> {
        match self.left.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("{name:?} is no parameter of this request");
                Err(Problem::new(Code::UnknownParameter, detail).field(name))
            }
        }
    }
}

/// What a request's query means to a route.
pub trait FromQuery: Sized {
    /// Takes what it knows from the query.
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem>;
}

impl FromQuery for () {
    fn from_query(_: &mut Query, _: &App) -> Result<Self, Problem> {
        Ok(())
    }
}

impl<A: FromQuery, B: FromQuery> FromQuery for (A, B) {
    fn from_query(query: &mut Query, app: &App) -> Result<Self, Problem> {
        Ok((A::from_query(query, app)?, B::from_query(query, app)?))
    }
}

/// A request's query, read as `T`; nothing else may stand in it.
pub struct Params<T>(pub T);

impl<S, T> FromRequestParts<S> for Params<T>
where
    S: Send + Sync,
    App: FromRef<S>,
    T: FromQuery,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut query = Query::of(parts)?;
        let value = T::from_query(&mut query, &App::from_ref(state))?;
        query.finish()?;
        Ok(Self(value))
    }
}
