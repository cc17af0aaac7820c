//! The log on a KurrentDB (EventStoreDB) cluster, through the `eventstore` crate.

pub mod form;
