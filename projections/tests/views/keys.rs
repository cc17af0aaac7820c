//! Keys as read models: pages, the past, and equality with what a rebuild makes.

use execution_ledger_domain::key::{Command, Issued, Key};
use execution_ledger_domain::{Actor, Digest, KeyId, Role, StreamName, UserName};
use execution_ledger_projections::{At, KeyQuery, KeyRow, Page, Views, digest, rebuild};
use execution_ledger_store::{Context, EventStore, Position};
use std::sync::Arc;
use uuid::Uuid;

use super::world::World;

async fn about_key(world: &World, id: u128, command: Command) -> Position {
    let context = Context {
        actor: Actor::system("test"),
        correlation_id: Some("test".to_owned()),
        causation_id: None,
        traceparent: None,
    };
    let stream = StreamName::key(KeyId(Uuid::from_u128(id)));
    let done = world.ledger.execute::<Key>(&stream, command, &[], &context).await;
    done.expect("a key").position
}

async fn issue(world: &World, id: u128, role: Role, user: &str) -> Position {
    let issued = Issued {
        name: format!("key {id}"),
        role,
        user: UserName::new(user).expect("a name"),
        agent: None,
        may_call: None,
        secret_sha256: Digest([7; 32]),
    };
    about_key(world, id, Command::Issue(Box::new(issued))).await
}

fn query() -> KeyQuery {
    KeyQuery { role: None, user: None, revoked: None, limit: 50, cursor: None }
}

async fn page(views: &Views, at: At, query: &KeyQuery) -> Page<KeyRow> {
    views.keys(at, query).await.expect("a page").value
}

fn ids(page: &Page<KeyRow>) -> Vec<u128> {
    page.items.iter().map(|row| row.id.0.as_u128()).collect()
}

#[tokio::test]
async fn keys_are_listed_by_pages_and_filters_now_and_as_they_were() {
    let world = World::new();
    let running = world.run_views();
    issue(&world, 9, Role::User, "zoe").await;
    issue(&world, 3, Role::Auditor, "max").await;
    let before = issue(&world, 5, Role::User, "max").await;
    about_key(&world, 9, Command::Revoke).await;
    running.caught_up(&world).await;
    let views = &running.views;

    assert_eq!(ids(&page(views, At::Now, &query()).await), [5, 3, 9]);
    let of_role = KeyQuery { role: Some(Role::User), ..query() };
    assert_eq!(ids(&page(views, At::Now, &of_role).await), [5, 9]);
    let of_user = KeyQuery { user: UserName::new("max").ok(), ..query() };
    assert_eq!(ids(&page(views, At::Now, &of_user).await), [5, 3]);
    let in_use = KeyQuery { revoked: Some(false), ..query() };
    assert_eq!(ids(&page(views, At::Now, &in_use).await), [5, 3]);
    assert_eq!(ids(&page(views, At::Position(before), &in_use).await), [5, 3, 9]);

    let first = page(views, At::Now, &KeyQuery { limit: 2, ..query() }).await;
    assert_eq!(ids(&first), [5, 3]);
    let rest = KeyQuery { limit: 2, cursor: first.next_cursor.clone(), ..query() };
    let rest = page(views, At::Now, &rest).await;
    assert_eq!((ids(&rest), rest.next_cursor), (vec![9], None));
    let elsewhere = KeyQuery { cursor: first.next_cursor, ..of_role };
    assert!(views.keys(At::Now, &elsewhere).await.is_err(), "a cursor of another question");

    let id = KeyId(Uuid::from_u128(9));
    let now = views.key(At::Now, id).await.expect("a key").value.expect("known");
    let then = views.key(At::Position(before), id).await.expect("a key").value.expect("known");
    assert!(now.revoked_at.is_some() && then.revoked_at.is_none());
    assert_eq!(now.issued_at, then.issued_at);
    let used = views.keys_in_use(At::Position(before)).await.expect("keys").value;
    assert_eq!(used.len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn rebuilt_keys_are_the_keys_that_were_followed_live() {
    let world = World::new();
    let running = world.run_views();
    for id in 0..40 {
        issue(&world, id, Role::ALL[usize::try_from(id % 4).expect("small")], "max").await;
        if id % 3 == 0 {
            about_key(&world, id, Command::Revoke).await;
        }
        if id % 7 == 0 {
            // Between batches of the runner: the version before is read from its row.
            running.caught_up(&world).await;
        }
    }
    running.caught_up(&world).await;
    running.stop().await;
    let live = digest(&world.views_path()).expect("a digest");
    let anew = world.folder.path().join("anew.db");
    let store: Arc<dyn EventStore> = world.store.clone();
    rebuild(&anew, &store, |_| {}).await.expect("a rebuild");
    assert_eq!(digest(&anew).expect("a digest"), live);
    let keys = live.iter().find(|table| table.table == "keys").expect("a table of keys");
    assert_eq!(keys.rows, 40 + 14, "each key, and each revoked one once more");
}
