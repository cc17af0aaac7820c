//! The span of a run, for whoever collects traces: from its start, or from when it was taken up after a
//! restart, to its recorded ending. Its attributes are those of OpenTelemetry's conventions for
//! generative AI (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>) where they name them.

use execution_ledger_domain::ExecutionId;
use execution_ledger_domain::agent::Runtime;
use execution_ledger_domain::execution::{Evidence, Observation};
use tracing::Span;
use tracing::field::Empty;

use super::observe::StartedAs;

/// The span of a run. At debug level: it costs nothing where nobody collects it.
pub(super) fn span(execution: ExecutionId) -> Span {
    tracing::debug_span!(
        "invoke_agent",
        otel.kind = "internal",
        otel.status_code = Empty,
        ledger.execution.id = %execution,
        ledger.cost.usd = Empty,
        ledger.cost.basis = Empty,
        ledger.cost.price_book = Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = Empty,
        gen_ai.conversation.id = Empty,
        gen_ai.request.model = Empty,
        gen_ai.response.model = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.cache_creation.input_tokens = Empty,
    )
}

/// Notes in the span that is open what was seen of its run. What nobody knows is left out.
pub(super) fn observed(seen: &Observation, program: &StartedAs) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    if let Some(provider) = provider(program.runtime) {
        span.record("gen_ai.provider.name", provider);
    }
    let texts = [
        ("gen_ai.request.model", &program.model_told),
        ("gen_ai.response.model", &seen.model_used),
        ("gen_ai.conversation.id", &seen.agent_session_id),
        ("ledger.cost.price_book", &seen.price_book),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            span.record(name, text.as_str());
        }
    }
    if let Some(usage) = seen.usage {
        // By the convention, what was read from caches and written to them counts as input too.
        let created = usage.cache_write_5m.saturating_add(usage.cache_write_1h);
        let input = usage.input.saturating_add(usage.cache_read).saturating_add(created);
        span.record("gen_ai.usage.input_tokens", input);
        span.record("gen_ai.usage.output_tokens", usage.output);
        span.record("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
        span.record("gen_ai.usage.cache_creation.input_tokens", created);
    }
    if let Some(cost) = seen.cost {
        span.record("ledger.cost.usd", cost.to_usd());
        span.record("ledger.cost.basis", tracing::field::debug(seen.cost_basis));
    }
    if !matches!(seen.evidence, Evidence::Success) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whose models a program talks to, as the convention names them; none where it could be anybody's.
fn provider(runtime: Runtime) -> Option<&'static str> {
    match runtime {
        Runtime::ClaudeCode => Some("anthropic"),
        Runtime::Codex => Some("openai"),
        Runtime::Gemini => Some("gcp.gemini"),
        Runtime::Opencode | Runtime::Command | Runtime::Demo => None,
    }
}
