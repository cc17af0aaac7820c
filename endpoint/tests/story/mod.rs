//! What both crates must be able to do; they differ in a few names.

use std::time::{Duration, Instant};

use execution_ledger_endpoint::{OpenStore, Serving, serve_open};
use tokio::time::timeout;
use uuid::Uuid;

use super::client::{
    BatchAppendOptions, Client, ClientSettings, CurrentRevision, Error, EventData, Position,
    ReadAllOptions, ReadStream, ReadStreamOptions, ResolvedEvent, StreamMetadataBuilder,
    StreamMetadataResult, StreamPosition, SubscribeToAllOptions, SubscribeToStreamOptions,
    Subscription, SubscriptionEvent, SubscriptionFilter, TombstoneStreamOptions,
};
use super::{Expected, appending, deleting, exact, is_caught_up, stream_of};

const PATIENCE: Duration = Duration::from_secs(20);

async fn connected() -> (Serving, Client) {
    let store = OpenStore::in_memory().unwrap();
    let serving = serve_open("127.0.0.1:0".parse().unwrap(), store, None).await.unwrap();
    let settings: ClientSettings =
        format!("esdb://{}?tls=false", serving.address()).parse().unwrap();
    (serving, Client::new(settings).unwrap())
}

fn event(number: u128) -> EventData {
    let data = format!("{{\"number\":{number}}}");
    EventData::json("order.placed", &serde_json::from_str::<serde_json::Value>(&data).unwrap())
        .unwrap()
        .id(Uuid::from_u128(number))
}

fn events(numbers: std::ops::Range<u128>) -> Vec<EventData> {
    numbers.map(event).collect()
}

async fn all_of(mut stream: ReadStream) -> Vec<u128> {
    let mut numbers = Vec::new();
    while let Some(event) = timeout(PATIENCE, stream.next()).await.unwrap().unwrap() {
        numbers.push(event.get_original_event().id.as_u128());
    }
    numbers
}

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    timeout(PATIENCE, subscription.next_subscription_event()).await.unwrap().unwrap()
}

async fn next_event(subscription: &mut Subscription) -> ResolvedEvent {
    timeout(PATIENCE, subscription.next()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_appended_to_and_read_both_ways() {
    let (_serving, client) = connected().await;
    let written =
        client.append_to_stream("orders-1", &appending(Expected::NoStream), events(1..4)).await;
    let written = written.unwrap();
    assert_eq!(written.next_expected_version, 2);
    let again =
        client.append_to_stream("orders-1", &appending(Expected::NoStream), events(1..4)).await;
    assert_eq!(again.unwrap().position, written.position);
    let wrong = client.append_to_stream("orders-1", &appending(exact(7)), event(9)).await;
    let Err(Error::WrongExpectedVersion { current, .. }) = wrong else { panic!("{wrong:?}") };
    assert_eq!(current, CurrentRevision::Current(2));
    let read = async |options: ReadStreamOptions| {
        all_of(client.read_stream("orders-1", &options).await.unwrap()).await
    };
    let options = ReadStreamOptions::default;
    assert_eq!(read(options()).await, [1, 2, 3]);
    assert_eq!(read(options().position(StreamPosition::Position(1)).max_count(1)).await, [2]);
    assert_eq!(read(options().backwards().position(StreamPosition::End)).await, [3, 2, 1]);
    let all = ReadAllOptions::default().backwards().position(StreamPosition::End).max_count(2);
    assert_eq!(all_of(client.read_all(&all).await.unwrap()).await, [3, 2]);
    let from = ReadAllOptions::default().position(StreamPosition::Position(written.position));
    assert_eq!(all_of(client.read_all(&from).await.unwrap()).await, [3]);
    let mut missing = client.read_stream("orders-2", &options()).await.unwrap();
    assert!(matches!(missing.next().await, Err(Error::ResourceNotFound)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_event_comes_back_with_all_that_it_had() {
    let (_serving, client) = connected().await;
    let given = EventData::binary("blob", vec![0_u8, 255, 7].into())
        .id(Uuid::from_u128(5))
        .metadata(b"any bytes \xff".to_vec().into());
    client.append_to_stream("blobs-ü 1", &appending(Expected::Any), given).await.unwrap();
    let mut read = client.read_stream("blobs-ü 1", &ReadStreamOptions::default()).await.unwrap();
    let read = read.next().await.unwrap().unwrap();
    let event = read.get_original_event();
    assert_eq!((stream_of(event), event.revision), ("blobs-ü 1", 0));
    assert_eq!((&event.event_type[..], event.is_json), ("blob", false));
    assert_eq!(event.data[..], [0, 255, 7]);
    assert_eq!(event.custom_metadata[..], b"any bytes \xff"[..]);
    assert!(event.position > Position::start());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_streams_and_metadata_are_as_clients_know_them() {
    let (_serving, client) = connected().await;
    let options = ReadStreamOptions::default();
    client.append_to_stream("a-1", &appending(Expected::Any), events(1..6)).await.unwrap();
    let metadata = StreamMetadataBuilder::new().max_count(2).build();
    client.set_stream_metadata("a-1", &appending(Expected::NoStream), &metadata).await.unwrap();
    let seen = client.read_stream("a-1", &options).await.unwrap();
    assert_eq!(all_of(seen).await, [4, 5]);
    let known = client.get_stream_metadata("a-1", &options).await.unwrap();
    let StreamMetadataResult::Success(known) = known else { panic!("no metadata") };
    assert_eq!(known.metadata().max_count, Some(2));
    client.delete_stream("a-1", &deleting(exact(4))).await.unwrap();
    let mut gone = client.read_stream("a-1", &options).await.unwrap();
    assert!(matches!(gone.next().await, Err(Error::ResourceNotFound)));
    client.append_to_stream("a-1", &appending(Expected::NoStream), event(6)).await.unwrap();
    let seen = client.read_stream("a-1", &options).await.unwrap();
    assert_eq!(all_of(seen).await, [6]);
    client.tombstone_stream("a-1", &TombstoneStreamOptions::default()).await.unwrap();
    let buried = client.append_to_stream("a-1", &appending(Expected::Any), event(7)).await;
    assert!(matches!(buried, Err(Error::ResourceDeleted)), "{buried:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_appended_and_a_conflict_is_told() {
    let (_serving, client) = connected().await;
    let batch = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let written = batch.append_to_stream("b-1", Expected::NoStream, events(1..3)).await.unwrap();
    assert_eq!(written.current_revision(), Some(1));
    assert!(written.current_position().is_some());
    let wrong = batch.append_to_stream("b-1", Expected::NoStream, events(3..4)).await.unwrap_err();
    assert!(wrong.to_string().contains("WrongExpectedVersion"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_subscription_is_told_what_it_wants_and_how_far_it_is() {
    let (_serving, client) = connected().await;
    client.append_to_stream("wanted-1", &appending(Expected::Any), events(1..3)).await.unwrap();
    client.append_to_stream("other-1", &appending(Expected::Any), events(10..110)).await.unwrap();
    let filter = SubscriptionFilter::on_stream_name().add_prefix("wanted-");
    let options = SubscribeToAllOptions::default().filter(filter);
    let mut subscription = client.subscribe_to_all(&options).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Confirmed(_)));
    let (mut seen, mut last) = (Vec::new(), Position::start());
    loop {
        match next(&mut subscription).await {
            SubscriptionEvent::EventAppeared(event) => {
                seen.push(event.get_original_event().id.as_u128());
            }
            SubscriptionEvent::Checkpoint(at) => last = at,
            event if is_caught_up(&event) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [1, 2]);
    let end = ReadAllOptions::default().backwards().position(StreamPosition::End).max_count(1);
    let mut end = client.read_all(&end).await.unwrap();
    let end = end.next().await.unwrap().unwrap();
    assert_eq!(last, end.get_original_event().position, "the checkpoint is at the end");
    client.append_to_stream("wanted-2", &appending(Expected::Any), event(3)).await.unwrap();
    assert_eq!(next_event(&mut subscription).await.get_original_event().id.as_u128(), 3);
    // From a checkpoint on, nothing is missed and nothing is seen twice.
    let filter = SubscriptionFilter::on_event_type().exclude_system_events();
    let options =
        SubscribeToAllOptions::default().filter(filter).position(StreamPosition::Position(last));
    let mut resumed = client.subscribe_to_all(&options).await;
    assert_eq!(next_event(&mut resumed).await.get_original_event().id.as_u128(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_yet_can_be_followed() {
    let (_serving, client) = connected().await;
    let mut subscription =
        client.subscribe_to_stream("later-1", &SubscribeToStreamOptions::default()).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Confirmed(_)));
    assert!(is_caught_up(&next(&mut subscription).await));
    for number in 1..4 {
        client.append_to_stream("later-1", &appending(Expected::Any), event(number)).await.unwrap();
        client.append_to_stream("else-1", &appending(Expected::Any), event(9)).await.unwrap();
        let seen = next_event(&mut subscription).await;
        assert_eq!(seen.get_original_event().id.as_u128(), number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_appends_do_not_wait_for_delayed_acknowledgements() {
    const APPENDS: u128 = 50;
    /// With Nagle's algorithm against delayed acknowledgements it would be 2 s.
    const LONGEST: Duration = Duration::from_secs(1);
    let (_serving, client) = connected().await;
    client.append_to_stream("warm-1", &appending(Expected::Any), event(1)).await.unwrap();
    let begun = Instant::now();
    for number in 0..APPENDS {
        client.append_to_stream("fast-1", &appending(Expected::Any), event(number)).await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took < LONGEST, "{APPENDS} appends took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_larger_than_an_append_may_be_is_told_so() {
    let (_serving, client) = connected().await;
    let large = EventData::binary("blob", vec![b'x'; 3 << 20].into());
    let refused = client.append_to_stream("big-1", &appending(Expected::Any), large).await;
    let Err(Error::Grpc { message, .. }) = refused else { panic!("{refused:?}") };
    assert!(message.contains("Maximum Append Size"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_ends_subscriptions_with_an_error() {
    let (serving, client) = connected().await;
    let mut subscription = client.subscribe_to_all(&SubscribeToAllOptions::default()).await;
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Confirmed(_)));
    let begun = Instant::now();
    serving.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "a subscription kept the server");
    let next = async |subscription: &mut Subscription| {
        timeout(PATIENCE, subscription.next_subscription_event()).await.unwrap()
    };
    while let Ok(event) = next(&mut subscription).await {
        let wanted = matches!(event, SubscriptionEvent::EventAppeared(_)) || is_caught_up(&event);
        assert!(wanted, "{event:?}");
    }
}
