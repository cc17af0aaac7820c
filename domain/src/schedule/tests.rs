use proptest::prelude::*;

use super::*;
use crate::content::{ContentRef, Digest};
use crate::given::given;
use crate::ids::{AgentName, ExecutionId, ScheduleId, UserName};
use crate::limits::schedule as limit;
use crate::{Aggregate, Timestamp};

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().expect("a time")
}

fn settings(cron: &str) -> Settings {
    Settings {
        name: Some("Nightly".to_owned()),
        agent: AgentName::new("a").expect("a name"),
        message: ContentRef { sha256: Digest([1; 32]), bytes: 5 },
        redactions: 0,
        cron: cron.to_owned(),
        timezone: "UTC".to_owned(),
        overlap: Overlap::Skip,
        catch_up: CatchUp::One,
        model: None,
        timeout_s: None,
        max_cost_nano_usd: None,
        allowed_tools: None,
        system_prompt: None,
        max_turns: None,
    }
}

fn created(settings: Settings) -> ScheduleEvent {
    let user = UserName::new("ada").expect("a name");
    let from = at("10:00:00");
    ScheduleEvent::Created(Box::new(Created { settings, user, enabled: true, from }))
}

fn fired(tick: Timestamp) -> Fired {
    let id = ExecutionId::of_tick(ScheduleId(uuid::Uuid::nil()), tick);
    Fired { tick, execution_id: id, cause: Cause::OnTime }
}

fn missed(tick: &str, until: &str, count: u64) -> Skipped {
    let until = Some(at(until));
    Skipped { until, count, ..Skipped::one(at(tick), Skip::Missed) }
}

/// What a schedule of five minutes with this policy decides one after the other at `now`, where
/// somebody could have decided each tick when it came.
fn decisions(catch_up: CatchUp, now: &str) -> Vec<Due> {
    decisions_since(catch_up, now, at("10:00:00"))
}

/// The same where nobody could before this moment.
fn decisions_since(catch_up: CatchUp, now: &str, watched_since: Timestamp) -> Vec<Due> {
    let settings = Settings { catch_up, ..settings("*/5 * * * *") };
    let mut state = Schedule::default().evolve(&created(settings));
    let mut all = Vec::new();
    loop {
        let active = state.active().expect("active");
        let cron = active.settings.cron().expect("a cron");
        let Some(due) = active.due(&cron, at(now), watched_since) else { return all };
        let command = match due.clone() {
            Due::Skip(skipped) => Command::Skip(skipped),
            Due::Fire { tick, cause } => Command::Fire(Fired { cause, ..fired(tick) }),
        };
        let events = state.decide(command).expect("not refused");
        assert_eq!(events.len(), 1);
        state = state.evolve(&events[0]);
        all.push(due);
    }
}

fn fire(tick: &str, cause: Cause) -> Due {
    Due::Fire { tick: at(tick), cause }
}

#[test]
fn a_tick_on_time_fires_under_each_policy() {
    for catch_up in CatchUp::ALL {
        assert_eq!(decisions(catch_up, "10:05:00"), [fire("10:05:00", Cause::OnTime)]);
        assert_eq!(decisions(catch_up, "10:06:00"), [fire("10:05:00", Cause::OnTime)]);
        assert_eq!(decisions(catch_up, "10:04:59"), []);
    }
}

#[test]
fn missed_ticks_are_decided_as_the_policy_says_and_the_one_on_time_fires() {
    let on_time = fire("10:20:00", Cause::OnTime);
    assert_eq!(
        decisions(CatchUp::One, "10:20:30"),
        [Due::Skip(missed("10:05:00", "10:15:00", 3)), on_time.clone()],
        "the latest of all"
    );
    assert_eq!(
        decisions(CatchUp::None, "10:20:30"),
        [Due::Skip(missed("10:05:00", "10:15:00", 3)), on_time.clone()]
    );
    assert_eq!(
        decisions(CatchUp::All, "10:20:30"),
        [
            fire("10:05:00", Cause::CatchUp),
            fire("10:10:00", Cause::CatchUp),
            fire("10:15:00", Cause::CatchUp),
            on_time
        ]
    );
}

#[test]
fn a_tick_from_before_anybody_watched_was_missed_however_young_it_is() {
    let since = at("10:15:08");
    assert_eq!(
        decisions_since(CatchUp::None, "10:15:10", since),
        [Due::Skip(missed("10:05:00", "10:15:00", 3))]
    );
    assert_eq!(
        decisions_since(CatchUp::One, "10:15:10", since),
        [Due::Skip(missed("10:05:00", "10:10:00", 2)), fire("10:15:00", Cause::CatchUp)]
    );
    assert_eq!(
        decisions_since(CatchUp::All, "10:15:10", since)[2],
        fire("10:15:00", Cause::CatchUp)
    );
    assert_eq!(
        decisions_since(CatchUp::None, "10:20:03", since)[1],
        fire("10:20:00", Cause::OnTime),
        "and one that came since was not"
    );
}

#[test]
fn all_catches_up_with_the_latest_ticks_up_to_its_limit() {
    // 12 hours of 5 minutes, without the last, which is on time.
    let all = decisions(CatchUp::All, "22:00:30");
    assert_eq!(all[0], Due::Skip(missed("10:05:00", "13:35:00", 43)));
    assert_eq!(all[1], fire("13:40:00", Cause::CatchUp));
    assert_eq!(all.len(), 1 + limit::CATCH_UP_MAX + 1);
}

#[test]
fn a_tick_is_decided_once_whatever_the_clock_says() {
    let tick = at("10:05:00");
    let state =
        || given::<Schedule>([created(settings("*/5 * * * *")), ScheduleEvent::Fired(fired(tick))]);
    state().when(Command::Fire(fired(tick))).then([]);
    state().when(Command::Skip(Skipped::one(tick, Skip::Overlap))).then([]);
    state().when(Command::Fire(fired(at("10:15:00")))).then_refused(&Rejection::NotNext);
    state().when(Command::Fire(fired(at("10:11:00")))).then_refused(&Rejection::NotNext);
    let next = fired(at("10:10:00"));
    state().when(Command::Fire(next)).then([ScheduleEvent::Fired(next)]);
}

#[test]
fn ticks_while_a_schedule_is_disabled_are_not_missed() {
    let now = at("12:02:00");
    let disabled = || [created(settings("*/5 * * * *")), ScheduleEvent::Disabled(Disabled {})];
    given::<Schedule>(disabled())
        .when(Command::Fire(fired(at("10:05:00"))))
        .then_refused(&Rejection::Disabled);
    let enabled = ScheduleEvent::Enabled(Enabled { from: now });
    given::<Schedule>(disabled()).when(Command::Enable { now }).then([enabled.clone()]);
    let all = disabled().into_iter().chain([enabled]);
    let state = all.fold(Schedule::default(), |state, event| state.evolve(&event));
    let active = state.active().expect("active");
    let cron = active.settings.cron().expect("a cron");
    assert_eq!(active.next_tick(&cron), Some(at("12:05:00")));
}

#[test]
fn what_ends_a_schedules_ticks_decides_those_that_are_due_first() {
    let now = at("10:11:00");
    let state = || given::<Schedule>([created(settings("*/5 * * * *"))]);
    let skipped = |reason| {
        let until = Some(at("10:10:00"));
        ScheduleEvent::Skipped(Skipped { until, count: 2, ..Skipped::one(at("10:05:00"), reason) })
    };
    state()
        .when(Command::Disable { now })
        .then([skipped(Skip::Disabled), ScheduleEvent::Disabled(Disabled {})]);
    state()
        .when(Command::Delete { now })
        .then([skipped(Skip::Deleted), ScheduleEvent::Deleted(Deleted {})]);
    let other = settings("0 9 * * *");
    let changed = Changed { settings: other.clone(), from: now };
    state()
        .when(Command::Change { settings: Box::new(other), enabled: true, now })
        .then([skipped(Skip::Changed), ScheduleEvent::Changed(Box::new(changed.clone()))]);
    // With the switch in the same wish: what is due is skipped once.
    let off = Command::Change { settings: Box::new(settings("0 9 * * *")), enabled: false, now };
    let changed_too = ScheduleEvent::Changed(Box::new(changed.clone()));
    let disabled = ScheduleEvent::Disabled(Disabled {});
    state().when(off).then([skipped(Skip::Changed), changed_too, disabled]);
    // The same times with another message: what is due stays due.
    let other = Settings { redactions: 1, ..settings("*/5 * * * *") };
    let changed = Changed { settings: other.clone(), from: at("10:00:00") };
    state()
        .when(Command::Change { settings: Box::new(other), enabled: true, now })
        .then([ScheduleEvent::Changed(Box::new(changed))]);
}

#[test]
fn a_schedule_that_is_as_it_should_be_is_left_alone_and_a_deleted_one_stays_deleted() {
    let now = at("10:01:00");
    let state = || given::<Schedule>([created(settings("0 9 * * *"))]);
    state().when(Command::Enable { now }).then([]);
    let same = Box::new(settings("0 9 * * *"));
    state().when(Command::Change { settings: same.clone(), enabled: true, now }).then([]);
    let deleted =
        || given::<Schedule>([created(settings("0 9 * * *")), ScheduleEvent::Deleted(Deleted {})]);
    deleted().when(Command::Delete { now }).then([]);
    deleted().when(Command::Enable { now }).then_refused(&Rejection::NotFound);
    deleted()
        .when(Command::Change { settings: same, enabled: true, now })
        .then_refused(&Rejection::NotFound);
    given::<Schedule>([]).when(Command::Disable { now }).then_refused(&Rejection::NotFound);
}

#[test]
fn a_trigger_decides_no_tick_and_is_not_done_twice() {
    let asked = Fired { cause: Cause::Triggered, ..fired(at("23:59:00")) };
    let state = || given::<Schedule>([created(settings("*/5 * * * *"))]);
    state().when(Command::Fire(asked)).then([ScheduleEvent::Fired(asked)]);
    let after =
        || given::<Schedule>([created(settings("*/5 * * * *")), ScheduleEvent::Fired(asked)]);
    after().when(Command::Fire(asked)).then([]);
    let tick = fired(at("10:05:00"));
    after().when(Command::Fire(tick)).then([ScheduleEvent::Fired(tick)]);
}

#[test]
fn settings_that_can_not_be_are_refused_by_the_name_of_the_field() {
    let refused = |settings: Settings| {
        let created = Created {
            settings,
            user: UserName::new("ada").expect("a name"),
            enabled: true,
            from: at("10:00:00"),
        };
        match Schedule::default().decide(Command::Create(Box::new(created))) {
            Err(Rejection::Settings(error)) => error.field,
            other => panic!("not refused: {other:?}"),
        }
    };
    assert_eq!(refused(settings("0 0 30 2 *")), "cron");
    assert_eq!(refused(Settings { timezone: "x".to_owned(), ..settings("* * * * *") }), "timezone");
    for name in ["", "a\nb"] {
        let name = Some(name.to_owned());
        assert_eq!(refused(Settings { name, ..settings("* * * * *") }), "name");
    }
}

#[test]
fn a_state_is_read_back_as_it_was_written() {
    let state = Schedule::default().evolve(&created(settings("*/5 * * * *")));
    let text = serde_json::to_string(&state).expect("JSON");
    assert_eq!(serde_json::from_str::<Schedule>(&text).expect("a state"), state);
}

const CRONS: [&str; 4] = ["* * * * *", "*/7 9-17 * * *", "30 2 * * *", "0 * * * *"];
const ZONES: [&str; 3] = ["UTC", "Europe/Berlin", "America/New_York"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over a random walk of the clock, forwards and backwards, with everything decided at each stop:
    /// each tick up to the latest moment was decided, once, and no other.
    #[test]
    fn no_tick_is_decided_twice_and_none_is_left_undecided(
        cron in 0..CRONS.len(),
        zone in 0..ZONES.len(),
        policy in 0..3_usize,
        start in 0..31_536_000_i64,
        walk in prop::collection::vec(-40_000..120_000_i64, 1..12),
    ) {
        // 2026-01-01T00:00:00Z, and up to a year later.
        let from = Timestamp::from_micros((1_767_225_600 + start) * 1_000_000);
        let settings = Settings {
            timezone: ZONES[zone].to_owned(),
            catch_up: CatchUp::ALL[policy],
            ..settings(CRONS[cron])
        };
        let cron = settings.cron().expect("a cron");
        let user = UserName::new("ada").expect("a name");
        let created = Created { settings, user, enabled: true, from };
        let mut state = Schedule::default().evolve(&ScheduleEvent::Created(Box::new(created)));
        let mut decided: Vec<Timestamp> = Vec::new();
        let (mut now, mut latest) = (from, from);
        for seconds in walk {
            now = Timestamp::from_micros(now.micros() + seconds * 1_000_000);
            latest = latest.max(now);
            while let Some(due) = state.active().expect("active").due(&cron, now, from) {
                let command = match due {
                    Due::Skip(skipped) => Command::Skip(skipped),
                    Due::Fire { tick, cause } => Command::Fire(Fired { cause, ..fired(tick) }),
                };
                for event in state.decide(command).expect("accepted") {
                    match &event {
                        ScheduleEvent::Fired(fired) => decided.push(fired.tick),
                        ScheduleEvent::Skipped(skipped) => {
                            let ticks: Vec<_> = std::iter::successors(Some(skipped.tick), |tick| {
                                cron.next_after(*tick)
                            })
                            .take_while(|tick| *tick <= skipped.last())
                            .collect();
                            prop_assert_eq!(ticks.len() as u64, skipped.count);
                            decided.extend(ticks);
                        }
                        _ => {}
                    }
                    state = state.evolve(&event);
                }
            }
        }
        let expected: Vec<_> =
            std::iter::successors(cron.next_after(from), |tick| cron.next_after(*tick))
                .take_while(|tick| *tick <= latest)
                .collect();
        prop_assert_eq!(decided, expected);
    }
}
