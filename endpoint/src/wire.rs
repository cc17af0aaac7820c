//! What the protocol's definition in `proto/` becomes.

#![expect(
    clippy::allow_attributes,
    clippy::enum_variant_names,
    clippy::large_enum_variant,
    clippy::pedantic,
    reason = "made from the definition: the files in proto/ say what it means"
)]

tonic::include_proto!("wire");

pub(crate) use self::event_store::client::{
    self as shared, gossip, persistent_subscriptions as persistent, server_features as features,
    streams,
};
pub(crate) use self::google::rpc;
