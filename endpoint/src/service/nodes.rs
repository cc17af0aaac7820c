//! What clients ask about the server itself: its nodes, its methods, its persistent subscriptions.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Caller, Served, encode};
use crate::authority::Call;
use crate::wire::features::server_features_server::ServerFeatures;
use crate::wire::features::{SupportedMethod, SupportedMethods};
use crate::wire::gossip::gossip_server::Gossip;
use crate::wire::gossip::member_info::VNodeState;
use crate::wire::gossip::{ClusterInfo, EndPoint, MemberInfo};
use crate::wire::persistent::persistent_subscriptions_server::PersistentSubscriptions;
use crate::wire::persistent::{ListReq, ListResp};
use crate::wire::shared::Empty;

/// The version whose protocol this is; clients choose by it what they ask for.
const PROTOCOL_VERSION: &str = "24.10.0";
const STREAMS: &str = "event_store.client.streams.streams";
const PERSISTENT: &str = "event_store.client.persistent_subscriptions.persistentsubscriptions";

/// Service, method, features.
const METHODS: [(&str, &str, &[&str]); 8] = [
    (STREAMS, "read", &["position", "events"]),
    (STREAMS, "append", &[]),
    (STREAMS, "batchappend", &["deadline_duration"]),
    (STREAMS, "delete", &[]),
    (STREAMS, "tombstone", &[]),
    (PERSISTENT, "list", &[]),
    ("event_store.client.gossip.gossip", "read", &[]),
    ("event_store.client.server_features.serverfeatures", "getsupportedmethods", &[]),
];

/// The services about the server itself.
#[derive(Clone)]
pub(super) struct Nodes {
    pub served: Arc<Served>,
    /// Which node this is, as long as it runs.
    pub instance: Uuid,
}

#[tonic::async_trait]
impl ServerFeatures for Nodes {
    async fn get_supported_methods(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<SupportedMethods>, Status> {
        // Said to anybody: it is what clients ask before they send credentials.
        let methods = METHODS.map(|(service, method, features)| SupportedMethod {
            method_name: method.to_owned(),
            service_name: service.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        });
        Ok(Response::new(SupportedMethods {
            methods: methods.into(),
            event_store_server_version: PROTOCOL_VERSION.to_owned(),
        }))
    }
}

#[tonic::async_trait]
impl Gossip for Nodes {
    /// One node, which leads, at the address that the client used.
    async fn read(&self, request: Request<Empty>) -> Result<Response<ClusterInfo>, Status> {
        let caller = Caller::of(&request);
        let (address, port) = caller.reached_at();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let member = MemberInfo {
            instance_id: Some(encode::id(self.instance, true)),
            time_stamp: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            state: VNodeState::Leader.into(),
            is_alive: true,
            http_end_point: Some(EndPoint { address, port: u32::from(port) }),
        };
        Ok(Response::new(ClusterInfo { members: vec![member] }))
    }
}

#[tonic::async_trait]
impl PersistentSubscriptions for Nodes {
    /// There are none.
    async fn list(&self, request: Request<ListReq>) -> Result<Response<ListResp>, Status> {
        self.served.admit(&Caller::of(&request), &Call::Discover).await?;
        Ok(Response::new(ListResp { subscriptions: Vec::new() }))
    }
}
