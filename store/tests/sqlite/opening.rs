//! Whose file is it, and who may open it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use execution_ledger_domain::Timestamp;
use execution_ledger_store::sqlite::assign_new_log_id;
use execution_ledger_store::{EventStore, OpenError, SqliteOptions, SqliteStore, contract};
use rusqlite::Connection;

use crate::{all, append, opened};

fn refused(path: &Path) -> OpenError {
    SqliteStore::open(path, SqliteOptions::default()).err().unwrap()
}

#[tokio::test]
async fn a_log_that_is_in_use_is_refused_also_by_another_name_and_free_after_closing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    let alias = folder.path().join("alias.db");
    symlink(&path, &alias).unwrap();
    for name in [&path, &alias] {
        let error = refused(name);
        assert!(
            matches!(&error, OpenError::InUse { pid, .. } if *pid == Some(std::process::id())),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("process {}", std::process::id())));
    }
    let renamed = assign_new_log_id(&path, Timestamp::EPOCH);
    assert!(matches!(renamed, Err(OpenError::InUse { .. })));
    store.close().await;
    drop(opened(&alias));
    drop(opened(&path));
}

#[tokio::test]
async fn a_log_keeps_its_id_and_its_events_until_it_is_given_a_new_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = opened(&path);
    let id = store.log_id().clone();
    append(&store, vec![contract::event(0)]).await.unwrap();
    let before = all(&store).await;
    drop(store);
    assert_eq!(*opened(&path).log_id(), id);
    let new_id = assign_new_log_id(&path, Timestamp::EPOCH).unwrap();
    assert_ne!(new_id, id);
    let store = opened(&path);
    assert_eq!(*store.log_id(), new_id);
    assert_eq!(all(&store).await, before);
    let absent = assign_new_log_id(&folder.path().join("absent.db"), Timestamp::EPOCH);
    assert!(matches!(absent, Err(OpenError::Io { .. })));
    assert!(!folder.path().join("absent.db").exists());
}

#[tokio::test]
async fn only_the_owner_can_read_the_files_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    drop(opened(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = opened(&path);
    append(&store, vec![contract::event(0)]).await.unwrap();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file:?}");
    }
}

#[test]
fn a_newer_schema_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    drop(opened(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::NewerSchema { found: 99, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("nothing was changed"));
    let error = SqliteStore::open_read_only(&path).err().unwrap();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_of_somebody_else_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (text, database) = (folder.path().join("notes.txt"), folder.path().join("other.db"));
    fs::write(&text, "these are my notes, not a database").unwrap();
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    for path in [text, database] {
        let before = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions();
        for error in [refused(&path), SqliteStore::open_read_only(&path).err().unwrap()] {
            assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::metadata(&path).unwrap().permissions(), mode);
    }
}

#[tokio::test]
async fn an_interrupted_creation_is_finished_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, blank) = (folder.path().join("empty.db"), folder.path().join("blank.db"));
    fs::write(&empty, "").unwrap();
    Connection::open(&blank).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    assert!(fs::metadata(&blank).unwrap().len() > 0);
    for path in [empty, blank] {
        let store = opened(&path);
        append(&store, vec![contract::event(0)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_the_log_as_it_was_at_one_moment_of_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("events.db"), folder.path().join("copy.db"));
    let store = opened(&path);
    append(&store, vec![contract::event_with_text(0, "words")]).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..200 {
                append(&store, vec![contract::event_with_text(number, "words")]).await.unwrap();
            }
        }
    });
    store.backup(&copy).await.unwrap();
    writer.await.unwrap();
    let restored = SqliteStore::open_read_only(&copy).unwrap();
    assert_eq!(restored.log_id(), store.log_id());
    let (saved, everything) = (all(&restored).await, all(&store).await);
    assert!(!saved.is_empty());
    assert_eq!(saved[..], everything[..saved.len()]);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let again = store.backup(&copy).await.unwrap_err();
    assert!(again.to_string().contains("there is such a file already"), "{again}");
    assert!(!folder.path().join("copy.db.partial").exists());
}
