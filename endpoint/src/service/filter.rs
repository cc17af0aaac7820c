//! Filters of the whole log: by the stream's name or the event's type, prefixes or an expression.

use fancy_regex::{Regex, RegexBuilder};
use tonic::Status;

use super::status::bad_request;
use crate::log::LogEvent;
use crate::wire::streams::read_req::options::FilterOptions;
use crate::wire::streams::read_req::options::filter_options::{Expression, Filter as By, Window};

/// Length of an expression, in bytes.
const REGEX_MAX_BYTES: usize = 4_096;
/// Steps that matching one name may go back.
const BACKTRACKS_MAX: usize = 10_000;
/// What an expression may take when it is compiled, in bytes.
const COMPILED_MAX_BYTES: usize = 1024 * 1024;
/// Prefixes of a filter at most.
const PREFIXES_MAX: usize = 256;
/// Events between two checkpoints where the client names no window.
const WINDOW_DEFAULT: u64 = 32;

/// Which events of the whole log a client wants.
pub(super) struct Filter {
    of_type: bool,
    matcher: Matcher,
    /// After how many events that were looked at a subscription is told how far it is.
    pub checkpoint_after: u64,
}

enum Matcher {
    Prefixes(Vec<String>),
    Expression(Box<Regex>),
}

impl Filter {
    /// From the request. A filter that says nothing lets everything through: `None`.
    pub fn from_wire(options: &FilterOptions) -> Result<Option<Self>, Status> {
        let (of_type, expression) = match &options.filter {
            None => return Ok(None),
            Some(By::StreamIdentifier(expression)) => (false, expression),
            Some(By::EventType(expression)) => (true, expression),
        };
        let window = match options.window {
            Some(Window::Max(window)) => u64::from(window.max(1)),
            Some(Window::Count(_)) | None => WINDOW_DEFAULT,
        };
        let checkpoint_after = window * u64::from(options.checkpoint_interval_multiplier.max(1));
        let matcher = Matcher::from_wire(expression)?;
        Ok(matcher.map(|matcher| Self { of_type, matcher, checkpoint_after }))
    }

    /// Whether the client wants this event; an error where the expression gives up.
    pub fn wants(&self, event: &LogEvent) -> Result<bool, Status> {
        let text = if self.of_type { &event.type_name } else { &event.stream };
        match &self.matcher {
            Matcher::Prefixes(prefixes) => {
                Ok(prefixes.iter().any(|prefix| text.starts_with(prefix.as_str())))
            }
            Matcher::Expression(regex) => regex.is_match(text).map_err(|error| {
                bad_request(format!("the filter's expression is too costly: {error}"))
            }),
        }
    }
}

impl Matcher {
    fn from_wire(expression: &Expression) -> Result<Option<Self>, Status> {
        if !expression.prefix.is_empty() {
            if expression.prefix.len() > PREFIXES_MAX {
                return Err(bad_request(format!("a filter has at most {PREFIXES_MAX} prefixes")));
            }
            return Ok(Some(Self::Prefixes(expression.prefix.clone())));
        }
        if expression.regex.is_empty() {
            return Ok(None);
        }
        if expression.regex.len() > REGEX_MAX_BYTES {
            let problem = format!("a filter's expression has at most {REGEX_MAX_BYTES} bytes");
            return Err(bad_request(problem));
        }
        let regex = RegexBuilder::new(&expression.regex)
            .backtrack_limit(BACKTRACKS_MAX)
            .delegate_size_limit(COMPILED_MAX_BYTES)
            .build()
            .map_err(|error| bad_request(format!("the filter's expression is wrong: {error}")))?;
        Ok(Some(Self::Expression(Box::new(regex))))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn of_type(regex: &str) -> Filter {
        let expression = Expression { regex: regex.to_owned(), prefix: Vec::new() };
        let options =
            FilterOptions { filter: Some(By::EventType(expression)), ..FilterOptions::default() };
        Filter::from_wire(&options).unwrap().unwrap()
    }

    fn typed(type_name: &str) -> LogEvent {
        LogEvent {
            position: 1,
            stream: "order-1".to_owned(),
            revision: 0,
            id: Uuid::nil(),
            type_name: type_name.to_owned(),
            json: true,
            created: 0,
            metadata: Bytes::new(),
            data: Bytes::new(),
        }
    }

    #[test]
    fn what_the_python_client_excludes_by_default_is_excluded() {
        let filter = of_type(r"^(?!(\$.+$|PersistentConfig\d+$|Result$))");
        for (type_name, wanted) in
            [("order.placed", true), ("$metadata", false), ("Result", false), ("Results", true)]
        {
            assert_eq!(filter.wants(&typed(type_name)).unwrap(), wanted, "{type_name}");
        }
    }

    #[test]
    fn an_expression_that_goes_back_without_end_is_refused_in_time() {
        let filter = of_type(r"^(?=(a+)+$)(a|aa)+\1$");
        let error = filter.wants(&typed(&"a".repeat(200))).unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn prefixes_choose_streams() {
        let expression =
            Expression { regex: String::new(), prefix: vec!["x".to_owned(), "order-".to_owned()] };
        let options = FilterOptions {
            filter: Some(By::StreamIdentifier(expression)),
            window: Some(Window::Max(10)),
            checkpoint_interval_multiplier: 3,
        };
        let filter = Filter::from_wire(&options).unwrap().unwrap();
        assert!(filter.wants(&typed("t")).unwrap());
        assert_eq!(filter.checkpoint_after, 30);
    }
}
