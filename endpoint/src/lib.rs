//! Serves a log to KurrentDB (EventStoreDB) clients, over their gRPC protocol.
