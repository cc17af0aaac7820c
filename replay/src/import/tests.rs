use std::path::Path;
use std::sync::Arc;

use execution_ledger_domain::{Actor, Content, Event, EventId, ExecutionId, StreamName, Timestamp};
use execution_ledger_store::sqlite::Importer;
use execution_ledger_store::{
    EventStore, ExpectedRevision, LogId, Metadata, NewEvent, Position, SqliteOptions, SqliteStore,
    With,
};
use uuid::Uuid;

use super::*;
use crate::export::{ExportFilter, ExportFormat, export};

/// An event of this type with data of the golden file, its message being this text.
pub(crate) fn new_event(type_name: &str, text: &str) -> NewEvent {
    let golden = include_str!("../../../domain/tests/stored_events.ndjson");
    let wanted = |line: &&str| line.contains(&format!("\"type\":\"{type_name}\""));
    let line: serde_json::Value =
        serde_json::from_str(golden.lines().rfind(wanted).unwrap()).unwrap();
    let content = Content::new([text.len().to_le_bytes()[0]; 16], text);
    let mut data = line["data"].clone();
    if let Some(fields) = data.as_object_mut() {
        if fields.contains_key("message") {
            fields.insert("message".to_owned(), serde_json::to_value(content.reference()).unwrap());
        }
        fields.remove("system_prompt");
    }
    let version = u32::try_from(line["version"].as_u64().unwrap()).unwrap();
    let event = Event::from_stored(type_name, version, &data.to_string()).unwrap();
    let metadata = Metadata {
        actor: Actor::system("test"),
        correlation_id: "story".to_owned(),
        causation_id: "cause".to_owned(),
        traceparent: None,
    };
    NewEvent {
        id: EventId(Uuid::now_v7()),
        type_name: type_name.to_owned(),
        version,
        metadata: serde_json::to_string(&metadata).unwrap(),
        // Other bytes than this program would write are kept as well.
        data: event.to_json().replacen(':', ": ", 1),
        contents: if event.content_refs().is_empty() { Vec::new() } else { vec![content] },
    }
}

const TEXT: &str = "line\none, \"two\" \u{1f389} \u{2028}";

/// A log of 2,501 events, of which one has lost its text.
async fn source(folder: &Path) -> Arc<dyn EventStore> {
    let path = folder.join("source.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let agent: StreamName = "agent-b".parse().unwrap();
    let registered = vec![new_event("agent.registered", "")];
    store.append(&agent, ExpectedRevision::NoStream, registered).await.unwrap();
    let mut appends = Vec::new();
    for number in 0..1_250 {
        let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
        let text = format!("{number} {TEXT}");
        let events =
            vec![new_event("execution.pending", &text), new_event("execution.running", "")];
        let store = Arc::clone(&store);
        appends.push(tokio::spawn(async move {
            store.append(&stream, ExpectedRevision::NoStream, events).await.unwrap();
        }));
    }
    for append in appends {
        append.await.unwrap();
    }
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE contents SET salt = NULL, body = NULL WHERE id = (SELECT min(id) FROM contents)",
            [],
        )
        .unwrap();
    store
}

async fn exported(store: &Arc<dyn EventStore>, filter: &ExportFilter) -> Vec<u8> {
    let mut out = Vec::new();
    let format = ExportFormat::Ndjson;
    let written = export(store, filter, format, Timestamp::EPOCH, &mut out, |_| {}).await.unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    out
}

async fn all(store: &dyn EventStore) -> Vec<Recorded> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, |event: &Recorded| event.position);
        let page = store.read_all(after, 1_000, With::Contents).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn imported(file: &[u8], folder: &Path, name: &str) -> Result<Imported, ImportFileError> {
    import(file, Box::new(importer(folder, name)), |_| {}).await
}

fn importer(folder: &Path, name: &str) -> Importer {
    Importer::open(&folder.join(name), Timestamp::EPOCH).unwrap()
}

#[tokio::test]
async fn what_was_exported_comes_back_to_the_byte_with_ids_times_and_erased_texts() {
    let folder = tempfile::tempdir().unwrap();
    let store = source(folder.path()).await;
    let file = exported(&store, &ExportFilter::default()).await;
    let result = imported(&file, folder.path(), "target.db").await.unwrap();
    assert_eq!(result.events, 2_501);
    assert_eq!(result.from_log, store.log_id().as_str());

    let target =
        SqliteStore::open(&folder.path().join("target.db"), SqliteOptions::default()).unwrap();
    assert_eq!(target.log_id().as_str(), result.log_id);
    assert_ne!(target.log_id(), store.log_id());
    let (before, after) = (all(store.as_ref()).await, all(target.as_ref()).await);
    assert_eq!(before, after);
    let erased = after.iter().flat_map(|event| &event.contents).filter(|c| c.content.is_none());
    assert_eq!(erased.count(), 1);

    // But for the log's id and the time, the next export is the same.
    let target: Arc<dyn EventStore> = target;
    let again = exported(&target, &ExportFilter::default()).await;
    let (own, other) = (store.log_id().as_str(), target.log_id().as_str());
    let body = |file: &[u8], log: &str| {
        let text = String::from_utf8(file.to_vec()).unwrap().replace(log, "LOG");
        text.lines().rev().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(body(&again, other), body(&file, own));
}

#[tokio::test]
async fn a_file_that_was_cut_off_or_changed_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = source(folder.path()).await;
    let file = exported(&store, &ExportFilter::default()).await;
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    let mut tries = 0;
    let mut refused = async |file: &[u8]| {
        tries += 1;
        let told = check_file(file, |_| {}).unwrap_err().to_string();
        let refused = imported(file, folder.path(), &format!("{tries}.db")).await.unwrap_err();
        let in_log = matches!(refused, ImportFileError::Log { .. });
        assert!(in_log || told == refused.to_string(), "{told}: {refused}");
        refused
    };
    assert!(matches!(refused(b"").await, ImportFileError::NoExport(_)));
    assert!(matches!(refused(b"{}\n").await, ImportFileError::NoExport(_)));
    assert!(matches!(refused(b"no json\n").await, ImportFileError::NoExport(_)));
    assert!(matches!(
        refused(b"{\"execution_ledger_export\":2}\n").await,
        ImportFileError::Newer(2)
    ));
    assert!(matches!(refused(&file[..file.len() - 1]).await, ImportFileError::CutOff(_)));
    assert!(matches!(refused(&lines[..100].concat()).await, ImportFileError::CutOff(100)));
    assert!(matches!(
        refused(&lines[..lines.len() - 1].concat()).await,
        ImportFileError::CutOff(_)
    ));
    let behind = [file.as_slice(), lines[1]].concat();
    assert!(matches!(refused(&behind).await, ImportFileError::Line { .. }));

    let without_last = [&lines[..lines.len() - 2], &lines[lines.len() - 1..]].concat().concat();
    assert!(matches!(refused(&without_last).await, ImportFileError::Changed { .. }));
    let mut swapped = lines.clone();
    swapped.swap(10, 12);
    refused(&swapped.concat()).await;
    let text = String::from_utf8(file.clone()).unwrap();
    let time = text.replacen("\"actor\":{\"kind\":\"system\"", "\"actor\":{\"kind\":\"run\"", 1);
    assert!(matches!(refused(time.as_bytes()).await, ImportFileError::Changed { .. }));
    let words = text.replacen("one, ", "two, ", 1);
    let words = refused(words.as_bytes()).await;
    assert!(matches!(&words, ImportFileError::Line { .. }), "{words}");
    let unknown = text.replacen("agent.registered", "agent.invented", 1);
    assert!(matches!(refused(unknown.as_bytes()).await, ImportFileError::Line { number: 2, .. }));
}

#[tokio::test]
async fn what_passed_a_filter_is_told_from_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = source(folder.path()).await;
    let agents = ExportFilter { stream: Some("agent-".to_owned()), ..ExportFilter::default() };
    let file = exported(&store, &agents).await;
    assert_eq!(file.split(|byte| *byte == b'\n').count(), 4, "header, one event, trailer, nothing");
    let refused = imported(&file, folder.path(), "target.db").await;
    assert!(matches!(refused, Err(ImportFileError::Filtered)));
    let type_name = Some("execution.running".to_owned());
    let running = exported(&store, &ExportFilter { type_name, ..ExportFilter::default() }).await;
    assert_eq!(running.split(|byte| *byte == b'\n').count(), 1_253);
    let none = ExportFilter { to: Some(Timestamp::EPOCH), ..ExportFilter::default() };
    assert_eq!(exported(&store, &none).await.split(|byte| *byte == b'\n').count(), 3);
}

#[tokio::test]
async fn a_table_has_a_row_for_each_event_and_no_formula() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
    let events = vec![new_event("execution.pending", "=cmd|'/c calc'!A1")];
    store.append(&stream, ExpectedRevision::NoStream, events).await.unwrap();
    let store: Arc<dyn EventStore> = store;
    let mut out = Vec::new();
    let (filter, now) = (ExportFilter::default(), Timestamp::EPOCH);
    export(&store, &filter, ExportFormat::Csv, now, &mut out, |_| {}).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    let rows: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].starts_with("position,recorded_at,stream,"));
    assert!(rows[1].ends_with(",\"'=cmd|'/c calc'!A1\""), "{}", rows[1]);
}

/// A log that fails once it was given so many batches.
struct Failing {
    log: Importer,
    batches: usize,
}

#[async_trait::async_trait]
impl NewLog for Failing {
    async fn held(&mut self, after: Position, limit: usize) -> Result<Vec<Recorded>, StoreError> {
        self.log.held(after, limit).await
    }

    async fn push(&mut self, events: Vec<Recorded>) -> Result<(), ImportError> {
        let Some(left) = self.batches.checked_sub(1) else {
            return Err(StoreError::DiskFull.into());
        };
        self.batches = left;
        self.log.push(events).await
    }

    async fn finish(self: Box<Self>) -> Result<LogId, ImportError> {
        Box::new(self.log).finish().await
    }
}

#[tokio::test]
async fn what_was_cut_off_goes_on_where_it_was_and_only_with_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let store = source(folder.path()).await;
    let file = exported(&store, &ExportFilter::default()).await;
    let other = {
        let path = folder.path().join("other");
        std::fs::create_dir(&path).unwrap();
        exported(&source(&path).await, &ExportFilter::default()).await
    };
    for batches in 0..3 {
        let name = format!("{batches}.db");
        let log = Failing { log: importer(folder.path(), &name), batches };
        let cut = import(file.as_slice(), Box::new(log), |_| {}).await.unwrap_err();
        assert!(cut.may_pass(), "{cut}");
        if batches > 0 {
            let refused = imported(&other, folder.path(), &name).await.unwrap_err();
            assert!(
                matches!(&refused, ImportFileError::OtherEvents { number: 2, .. }),
                "{refused}"
            );
            assert!(!refused.may_pass());
        }
        let done = imported(&file, folder.path(), &name).await.unwrap();
        assert_eq!((done.events, done.held), (2_501, batches as u64 * 1_000));
        let again = imported(&file, folder.path(), &name).await.unwrap();
        assert_eq!((again.events, again.held, again.log_id), (2_501, 2_501, done.log_id));
        let path = folder.path().join(&name);
        let target = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
        assert_eq!(all(target.as_ref()).await, all(store.as_ref()).await);
    }
}

#[tokio::test]
async fn a_later_export_of_the_same_log_brings_only_what_is_new_and_an_earlier_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = source(folder.path()).await;
    let earlier = exported(&store, &ExportFilter::default()).await;
    imported(&earlier, folder.path(), "target.db").await.unwrap();
    let stream = StreamName::execution(ExecutionId(Uuid::now_v7()));
    let event = vec![new_event("execution.pending", "later")];
    store.append(&stream, ExpectedRevision::NoStream, event).await.unwrap();
    let later = exported(&store, &ExportFilter::default()).await;
    let done = imported(&later, folder.path(), "target.db").await.unwrap();
    assert_eq!((done.events, done.held), (2_502, 2_501));
    let refused = imported(&earlier, folder.path(), "target.db").await.unwrap_err();
    assert!(matches!(refused, ImportFileError::OtherEvents { .. }), "{refused}");
}
