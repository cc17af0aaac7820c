//! The MCP server: what it is, what it offers, and who answers which request.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    CompleteRequestMethod, CompleteRequestParams, CompleteResult, ErrorData, GetTaskParams,
    GetTaskResult, Implementation, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};

use super::call::Call;
use super::cancellations::Cancellations;
use super::outcome::refused;
use super::{chat, look, stop, tasks, tools};
use crate::problem::{Code, Problem};
use crate::state::App;

/// The server. Cheap to clone: it keeps nothing of its clients.
#[derive(Clone)]
pub(super) struct Server {
    app: App,
    cancellations: Arc<Cancellations>,
}

impl Server {
    /// Over the ledger.
    pub(super) fn new(app: App, cancellations: Arc<Cancellations>) -> Self {
        Self { app, cancellations }
    }

    async fn tool(&self, call: &Call, request: CallToolRequestParams) -> Option<Answer> {
        let given = request.arguments;
        let whole = |result: Result<CallToolResult, Problem>| result.map(CallToolResponse::from);
        Some(match request.name.as_ref() {
            tools::CHAT => chat::call(call, given).await,
            tools::LIST => whole(look::list(call, given).await),
            tools::RESULT => whole(look::result(call, given).await),
            tools::SUMMARY => whole(look::summary(call, given).await),
            tools::CANCEL => whole(stop::call(call, given).await),
            tools::EVENTS => whole(look::events(call, given).await),
            _ => return None,
        })
    }
}

/// What a tool comes back with.
type Answer = Result<CallToolResponse, Problem>;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tasks().build();
        let own = Implementation::new("execution-ledger", env!("CARGO_PKG_VERSION"))
            .with_title("Execution ledger");
        let mut info = ServerConfig::new(capabilities).with_instructions(tools::INSTRUCTIONS);
        info.server_info = own;
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::TOOLS.clone()))
    }

    // What is not offered is not known: the defaults would answer with empty lists.

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::named(name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = Call::of(&self.app, &self.cancellations, context)?;
        let Some(_place) = self.app.gate().place() else {
            let busy = Problem::new(Code::Overloaded, "as many requests are worked on as may be");
            return Ok(refused(&busy).into());
        };
        let name = request.name.clone();
        match self.tool(&call, request).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(problem)) => Ok(refused(&problem).into()),
            None => Err(ErrorData::invalid_params(format!("there is no tool {name:?}"), None)),
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let call = Call::of(&self.app, &self.cancellations, context)?;
        tasks::get(&call, &request.task_id).await
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let call = Call::of(&self.app, &self.cancellations, context)?;
        tasks::update(&call, &request.task_id).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let call = Call::of(&self.app, &self.cancellations, context)?;
        tasks::cancel(&call, &request.task_id).await
    }
}
