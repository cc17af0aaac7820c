//! One call of a tool: who calls, over which revision of the protocol, with which arguments.

use std::sync::Arc;

use execution_ledger_domain::{Caller, ExecutionId, Right, Scope};
use execution_ledger_process::tasks::Request;
use execution_ledger_projections::{At, ExecutionRecord};
use execution_ledger_store::{Position, Recorded, With};
use rmcp::model::{JsonObject, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::de::DeserializeOwned;

use super::cancellations::{Cancellations, Registered};
use crate::auth::Access;
use crate::extract::parse;
use crate::position::WAIT_FOR_MAX;
use crate::problem::Problem;
use crate::state::{App, cause, no_execution};

/// One call.
pub(super) struct Call {
    /// The ledger.
    pub app: App,
    /// Who calls, and until when they may.
    pub access: Access,
    /// The calls that wait.
    cancellations: Arc<Cancellations>,
    /// What the protocol knows of it.
    pub context: RequestContext<RoleServer>,
}

impl Call {
    /// From what came past the door, where the access was put beside the request.
    pub(super) fn of(
        app: &App,
        cancellations: &Arc<Cancellations>,
        context: RequestContext<RoleServer>,
    ) -> Result<Self, ErrorData> {
        let parts = context.extensions.get::<axum::http::request::Parts>();
        let Some(access) = parts.and_then(|parts| parts.extensions.get::<Access>()).cloned() else {
            tracing::error!("a call came past the door");
            return Err(ErrorData::internal_error("the caller is not known", None));
        };
        let cancellations = Arc::clone(cancellations);
        Ok(Self { app: app.clone(), access, cancellations, context })
    }

    /// Who calls.
    pub(super) fn caller(&self) -> &Caller {
        &self.access.caller
    }

    /// What the caller may see.
    pub(super) fn scope(&self) -> &Scope {
        &self.access.caller.scope
    }

    /// The call as the cause of what it leads to.
    pub(super) fn cause(&self) -> Request {
        cause(&self.access.request)
    }

    /// Refuses a caller who has no such right.
    pub(super) fn needs(&self, right: Right) -> Result<(), Problem> {
        // Answered inside of a message, so nobody else sees that it was refused.
        self.access.need(right).inspect_err(|_| self.app.gate().forbade(self.access.request.source))
    }

    /// Whether the revision is one in which closing the connection is what cancels a call.
    pub(super) fn cancels_by_closing(&self) -> bool {
        let version = self.context.protocol_version();
        // Revisions are dates, and their texts are in the order of the dates.
        version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
    }

    /// Whether a call may be answered with a task.
    pub(super) fn takes_tasks(&self) -> bool {
        self.cancels_by_closing()
            && self.context.client_capabilities().is_some_and(|client| client.supports_tasks())
    }

    /// Lets a cancellation find this call from now on.
    pub(super) fn register(&self) -> Registered {
        self.cancellations.register(&self.caller().actor.id, &self.context.id)
    }

    /// Tells the client how far it is, if it wants to know.
    pub(super) async fn tell(&self, seconds: f64, message: String) {
        let Some(token) = self.context.meta.get_progress_token() else { return };
        let told = ProgressNotificationParam::new(token, seconds).with_message(message);
        if let Err(error) = self.context.peer.notify_progress(told).await {
            tracing::debug!(%error, "nobody hears of the progress any more");
        }
    }

    /// Waits until the read models have seen what the call did: the next call is to find it, and has
    /// no means to say how far it wants to look. What was done is done, however far they are.
    pub(super) async fn settle(&self, position: Position) {
        if let Err(behind) = self.app.wait_for(position, WAIT_FOR_MAX).await {
            tracing::warn!(detail = behind.detail(), "a call is answered before it can be read");
        }
    }

    /// An execution that the caller may see, with its events.
    pub(super) async fn execution(
        &self,
        id: ExecutionId,
    ) -> Result<(ExecutionRecord, Vec<Recorded>), Problem> {
        let (app, scope) = (&self.app, self.scope());
        let mut seen = app.views().execution_with_events(scope, At::Now, id).await?;
        if seen.value.is_none() {
            // Accepted a moment ago: the caller that was given its id is not told that there is none.
            let stream = execution_ledger_domain::StreamName::execution(id);
            let first = app.store().read_stream(&stream, 0, 1, With::EventsOnly).await?;
            if let Some(first) = first.first().filter(|first| first.position > seen.position) {
                app.wait_for(first.position, WAIT_FOR_MAX).await?;
                seen = app.views().execution_with_events(scope, At::Now, id).await?;
            }
        }
        seen.value.ok_or_else(no_execution)
    }
}

/// A tool's arguments, read strictly.
pub(super) fn arguments<T: DeserializeOwned>(given: Option<JsonObject>) -> Result<T, Problem> {
    let json = serde_json::to_vec(&given.unwrap_or_default())
        .map_err(|error| Problem::internal(&error))?;
    parse(&json)
}
