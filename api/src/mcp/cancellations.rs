//! Calls that wait, so that `notifications/cancelled` finds them.
//!
//! In the revisions before 2026-07-28 a client cancels by a notification that names the request's
//! id, in a request of its own. Ids are only unique within a client. Where two clients with the
//! same key wait under the same id, nobody can say which one is meant, and neither is cancelled.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{NumberOrString, RequestId};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// Name of the notification.
const METHOD: &str = "notifications/cancelled";
/// A longer message is no cancellation, in bytes.
const MESSAGE_MAX_BYTES: usize = 16 * 1024;

/// The calls that wait now. As many as the gate lets wait.
#[derive(Default)]
pub(super) struct Cancellations {
    waiting: Mutex<HashMap<u64, Waiting>>,
    next: AtomicU64,
}

struct Waiting {
    caller: String,
    request: RequestId,
    wish: CancellationToken,
}

/// A call that waits, until it is dropped.
pub(super) struct Registered {
    all: Arc<Cancellations>,
    number: u64,
    wish: CancellationToken,
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    params: Params,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params {
    request_id: NumberOrString,
}

impl Cancellations {
    /// Notes a call that waits.
    pub(super) fn register(self: &Arc<Self>, caller: &str, request: &RequestId) -> Registered {
        let wish = CancellationToken::new();
        let waiting =
            Waiting { caller: caller.to_owned(), request: request.clone(), wish: wish.clone() };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting().insert(number, waiting);
        Registered { all: Arc::clone(self), number, wish }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether a message cancels a call of this caller, and tells that call.
    pub(super) fn hear(&self, caller: &str, message: &[u8]) {
        if message.len() > MESSAGE_MAX_BYTES {
            return;
        }
        // Anything else is none of ours: what answers MCP says what is wrong with it.
        let Ok(heard) = serde_json::from_slice::<Notification<'_>>(message) else { return };
        if heard.method != METHOD {
            return;
        }
        let waiting = self.waiting();
        let mut meant = waiting
            .values()
            .filter(|call| call.caller == caller && call.request == heard.params.request_id);
        match (meant.next(), meant.next()) {
            (Some(call), None) => call.wish.cancel(),
            (None, _) => {}
            (Some(_), Some(_)) => {
                tracing::debug!(caller, "a cancellation could mean one of several calls");
            }
        }
    }
}

impl Registered {
    /// Comes back once the client wants the call to be cancelled.
    pub(super) async fn wished(&self) {
        self.wish.cancelled().await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.all.waiting().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancelled(id: &str) -> Vec<u8> {
        let start = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"#;
        format!("{start}{id},\"reason\":\"no\"}}}}").into_bytes()
    }

    #[test]
    fn a_call_is_cancelled_by_its_own_caller_naming_its_id() {
        let all = Arc::new(Cancellations::default());
        let seven = all.register("k", &RequestId::Number(7));
        let text = all.register("k", &RequestId::String("7".into()));
        all.hear("other", &cancelled("7"));
        all.hear("k", &cancelled("8"));
        all.hear("k", br#"{"method":"tools/call","params":{"requestId":7}}"#);
        all.hear("k", b"no JSON");
        assert!(!seven.wish.is_cancelled() && !text.wish.is_cancelled());
        all.hear("k", &cancelled("7"));
        assert!(seven.wish.is_cancelled() && !text.wish.is_cancelled());
    }

    #[test]
    fn of_two_calls_under_one_id_neither_is_cancelled() {
        let all = Arc::new(Cancellations::default());
        let first = all.register("k", &RequestId::Number(1));
        let second = all.register("k", &RequestId::Number(1));
        all.hear("k", &cancelled("1"));
        assert!(!first.wish.is_cancelled() && !second.wish.is_cancelled());
        drop(first);
        all.hear("k", &cancelled("1"));
        assert!(second.wish.is_cancelled());
        drop(second);
        assert!(all.waiting().is_empty());
    }
}
