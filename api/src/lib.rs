//! HTTP, SSE and WebSocket interface of the execution ledger.
