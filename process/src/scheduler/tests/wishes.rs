//! What callers do with schedules.

use execution_ledger_domain::schedule::{CatchUp, Overlap};
use execution_ledger_domain::{Caller, ExecutionId, Scope, StreamName, UserName};

use super::world::{World, at, caller, draft, request};
use crate::scheduler::{Draft, ScheduleError};

#[tokio::test]
async fn a_disabled_schedule_does_not_fire_and_has_missed_nothing_once_it_is_enabled() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::All).await;
    world.schedules.set_enabled(&caller(), id, false, &request()).await.expect("disabled");
    world.decide_at(at("11:02:00")).await;
    world.schedules.set_enabled(&caller(), id, true, &request()).await.expect("enabled");
    world.decide_at(at("11:05:00")).await;
    assert_eq!(world.decided(id).await, ["on_time 11:05"]);
}

#[tokio::test]
async fn a_changed_schedule_keeps_its_texts_and_a_deleted_one_is_gone() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::One).await;
    let as_it_is = world.schedules.draft_of(&caller(), id).await.expect("there");
    assert_eq!((as_it_is.message.as_str(), &as_it_is.name), ("tidy up", &None));
    let stream = StreamName::schedule(id);
    let changed = |draft| async {
        world.schedules.change(&caller(), id, draft, &request()).await.expect("changed");
        world.events(&stream).await.len()
    };
    assert_eq!(changed(as_it_is.clone()).await, 1, "nothing to change");
    let other =
        Draft { cron: " 0  * * * * ".to_owned(), name: Some("Hourly".to_owned()), ..as_it_is };
    assert_eq!(changed(other.clone()).await, 2);
    assert_eq!(changed(Draft { enabled: false, ..other.clone() }).await, 3);
    assert_eq!(changed(other).await, 4);
    world.decide_at(at("10:05:00")).await;
    world.decide_at(at("11:00:00")).await;
    assert_eq!(world.decided(id).await, ["on_time 11:00"]);
    let execution = world.execution(ExecutionId::of_tick(id, at("11:00:00"))).await;
    assert_eq!(execution.pending().map(|pending| pending.message.bytes), Some(7));

    world.schedules.delete(&caller(), id, &request()).await.expect("deleted");
    world.decide_at(at("12:00:00")).await;
    assert_eq!(world.decided(id).await.len(), 1);
    let again = world.schedules.delete(&caller(), id, &request()).await;
    assert!(matches!(again, Err(ScheduleError::NotFound)), "{again:?}");
}

#[tokio::test]
async fn a_schedule_is_triggered_by_hand_once_for_each_idempotency_key() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::One).await;
    let trigger = async |key: Option<&str>| {
        world.schedules.trigger(&caller(), id, key, &request()).await.expect("accepted")
    };
    let first = trigger(Some("k")).await;
    let second = trigger(Some("k")).await;
    assert!(!first.replayed && second.replayed);
    assert_eq!((first.execution_id, first.position), (second.execution_id, second.position));
    assert_ne!(trigger(None).await.execution_id, trigger(None).await.execution_id);
    assert_eq!(world.decided(id).await, ["triggered 10:00"; 3]);
    world.pump().await;
    // What was triggered is open, so the tick overlaps; what is left is as it was.
    world.decide_at(at("10:05:00")).await;
    assert_eq!(world.decided(id).await[3], "overlap 10:05");
}

#[tokio::test]
async fn an_execution_that_has_ended_is_made_repeatable_with_all_its_settings() {
    let mut world = World::new(50).await;
    let draft = Draft {
        model: Some("m".to_owned()),
        timeout_s: Some(9),
        message: "say\n hello".to_owned(),
        ..draft()
    };
    let id = world.create(draft).await;
    let fired = world.schedules.trigger(&caller(), id, None, &request()).await.expect("accepted");
    let from = async |world: &World, caller: Caller| {
        world.schedules.draft_from(&caller, fired.execution_id).await
    };
    assert!(matches!(from(&world, caller()).await, Err(ScheduleError::ExecutionOpen)));
    world.end(fired.execution_id).await;
    let draft = from(&world, caller()).await.expect("a draft");
    assert_eq!((draft.model.as_deref(), draft.timeout_s), (Some("m"), Some(9)));
    assert_eq!(draft.message, "say\n hello");
    let stranger = UserName::new("eve").expect("a name");
    let stranger = Caller { scope: Scope::User(stranger), ..caller() };
    assert!(matches!(from(&world, stranger).await, Err(ScheduleError::ExecutionNotFound)));
}

#[tokio::test]
async fn another_users_schedule_is_not_there_for_a_narrower_scope() {
    let mut world = World::new(50).await;
    let id = world.schedule(Overlap::Skip, CatchUp::One).await;
    let stranger = UserName::new("eve").expect("a name");
    let stranger = Caller { scope: Scope::User(stranger), ..caller() };
    let refused = world.schedules.trigger(&stranger, id, None, &request()).await;
    assert!(matches!(refused, Err(ScheduleError::NotFound)), "{refused:?}");
    let refused = world.schedules.set_enabled(&stranger, id, false, &request()).await;
    assert!(matches!(refused, Err(ScheduleError::NotFound)), "{refused:?}");
    let own = Caller { scope: Scope::User(caller().actor.user), ..caller() };
    assert!(world.schedules.draft_of(&own, id).await.is_ok());
}
