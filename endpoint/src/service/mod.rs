//! The services of the protocol over a [`Log`].

mod append;
mod batch;
mod encode;
mod filter;
mod follow;
mod nodes;
mod out;
mod plan;
mod read;
mod status;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::Authority as Address;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use self::follow::Ends;
use self::nodes::Nodes;
use self::plan::Plan;
use self::status::{bad_request, of_refusal, of_write};
use crate::authority::{Admitted, Authority, Basic, Call, Peer};
use crate::log::{Expected, Log, Removal};
use crate::wire::features::server_features_server::ServerFeaturesServer;
use crate::wire::gossip::gossip_server::GossipServer;
use crate::wire::persistent::persistent_subscriptions_server::PersistentSubscriptionsServer;
use crate::wire::shared::Empty;
use crate::wire::streams::streams_server::{Streams, StreamsServer};
use crate::wire::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, ReadReq, ReadResp, RemoveReq,
    RemoveResp, remove_req, remove_resp,
};

/// Reads, subscriptions and batch appends that are answered at once, of all clients together.
pub const CALLS_MAX: usize = 1_024;
/// Size of a message that is looked at, in bytes: above the limit of an append, so that whoever
/// passes that one is told so.
const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long the parts of an append may take to come in, in seconds.
const APPEND_WAIT_S: u64 = 60;
/// The port that clients assume.
const DEFAULT_PORT: u16 = 2113;

/// What all calls share.
pub(crate) struct Served {
    pub log: Arc<dyn Log>,
    pub authority: Arc<dyn Authority>,
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl Served {
    pub fn new(
        log: Arc<dyn Log>,
        authority: Arc<dyn Authority>,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(CALLS_MAX));
        Arc::new(Self { log, authority, stopping, places })
    }

    async fn admit(&self, caller: &Caller, call: &Call) -> Result<Admitted, Status> {
        let admitted = self.authority.admit(caller.basic.as_ref(), caller.peer, call).await;
        admitted.map_err(of_refusal)
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            metrics::counter!("ledger_eventstore_calls_refused_total").increment(1);
            Status::resource_exhausted(format!(
                "{CALLS_MAX} calls are being answered already; end some, or try again later"
            ))
        })
    }
}

/// Resolves when the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// All services, to be put on a server.
pub(crate) fn routes(served: Arc<Served>) -> Routes {
    let nodes = Nodes { served: Arc::clone(&served), instance: Uuid::now_v7() };
    let streams = StreamsServer::new(StreamsOf(served))
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let mut routes = Routes::builder();
    routes
        .add_service(streams)
        .add_service(ServerFeaturesServer::new(nodes.clone()))
        .add_service(GossipServer::new(nodes.clone()))
        .add_service(PersistentSubscriptionsServer::new(nodes));
    routes.routes()
}

/// Who calls, from where, and how this server was addressed.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    basic: Option<Basic>,
    peer: Peer,
    address: Option<Address>,
}

impl Caller {
    fn of<T>(request: &Request<T>) -> Self {
        let header = request.metadata().get("authorization");
        let basic = header.and_then(|value| value.to_str().ok()).and_then(Basic::from_header);
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let peer = request
            .extensions()
            .get::<Peer>()
            .copied()
            .unwrap_or(Peer { address: nowhere, tls: false });
        Self { basic, peer, address: request.extensions().get::<Address>().cloned() }
    }

    /// Host and port by which the client reached this server.
    fn reached_at(&self) -> (String, u16) {
        self.address.as_ref().map_or_else(
            || ("localhost".to_owned(), DEFAULT_PORT),
            |address| (address.host().to_owned(), address.port_u16().unwrap_or(DEFAULT_PORT)),
        )
    }
}

struct StreamsOf(Arc<Served>);

impl StreamsOf {
    async fn remove(
        &self,
        request: Request<RemoveReq>,
        removal: Removal,
    ) -> Result<Response<RemoveResp>, Status> {
        use remove_req::options::ExpectedStreamRevision as Believed;
        use remove_resp::{Position, PositionOption};
        let caller = Caller::of(&request);
        let options = request.into_inner().options.unwrap_or_default();
        let expected = match options.expected_stream_revision {
            Some(Believed::Revision(revision)) => Expected::Exact(revision),
            Some(Believed::NoStream(_)) => Expected::NoStream,
            Some(Believed::StreamExists(_)) => Expected::Exists,
            Some(Believed::Any(_)) | None => Expected::Any,
        };
        let stream = plan::name(options.stream_identifier)?;
        self.0.admit(&caller, &Call::Remove(stream.clone())).await?;
        let removed = self.0.log.remove(stream.clone(), expected, removal).await;
        let removed = removed.map_err(|error| of_write(&error, &stream, expected))?;
        let position_option =
            Some(removed.position.map_or(PositionOption::NoPosition(Empty {}), |at| {
                PositionOption::Position(Position { commit_position: at, prepare_position: at })
            }));
        Ok(Response::new(RemoveResp { position_option }))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Streams for StreamsOf {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Answers<ReadResp>>, Status> {
        let caller = Caller::of(&request);
        let options = request.into_inner().options;
        let options = options.ok_or_else(|| bad_request("options are missing"))?;
        // What costs something is done only for those that may read: a filter is compiled.
        let admitted = self.0.admit(&caller, &plan::call(&options)?).await?;
        let (out, messages) = out::way(self.0.place()?);
        let plan = Plan::from_wire(options)?;
        let served = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Some(count) = plan.count {
                return read::read(served.log.as_ref(), plan, count, &out).await;
            }
            let _running = Running::begin();
            let ends = Ends { stopping: served.stopping.clone(), until: admitted.until };
            follow::follow(served.log.as_ref(), plan, ends, &out).await;
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        let caller = Caller::of(&request);
        let mut messages = request.into_inner();
        let done = async {
            let wanted = append::wanted(&mut messages).await?;
            self.0.admit(&caller, &Call::Append(wanted.stream.clone())).await?;
            append::append(self.0.log.as_ref(), wanted, messages).await
        };
        tokio::time::timeout(Duration::from_secs(APPEND_WAIT_S), done)
            .await
            .map_err(|_| Status::deadline_exceeded("the append did not come in within its time"))?
            .map(Response::new)
    }

    async fn delete(&self, request: Request<RemoveReq>) -> Result<Response<RemoveResp>, Status> {
        self.remove(request, Removal::Delete).await
    }

    async fn tombstone(&self, request: Request<RemoveReq>) -> Result<Response<RemoveResp>, Status> {
        self.remove(request, Removal::Tombstone).await
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Answers<BatchAppendResp>>, Status> {
        let caller = Caller::of(&request);
        // Each append is asked for by itself; but nobody takes a place who is not known at all.
        self.0.admit(&caller, &Call::Discover).await?;
        let place = self.0.place()?;
        let (answers, taken) = mpsc::channel(batch::ANSWERS_MAX);
        let served = Arc::clone(&self.0);
        let messages = request.into_inner();
        tokio::spawn(batch::serve(served, caller, messages, answers, place));
        Ok(Response::new(Box::pin(ReceiverStream::new(taken))))
    }
}

/// Counts the subscriptions that run.
struct Running;

const RUNNING: &str = "ledger_eventstore_subscriptions";

impl Running {
    fn begin() -> Self {
        metrics::gauge!(RUNNING).increment(1.0);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!(RUNNING).decrement(1.0);
    }
}
