//! The activity panel and the messages about it.

use execution_ledger_domain::execution::ExecutionEvent;
use execution_ledger_domain::wire::Event;
use execution_ledger_domain::{ExecutionId, Scope, Timestamp};
use execution_ledger_store::{LogPosition, Position, Recorded, With};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::json;

use super::filters::scope_condition;
use super::list::check_limit;
use super::records::{STREAM_EVENTS_MAX, fold};
use crate::columns::{self, Bad};
use crate::cursor::Cursor;
use crate::model::{
    Activity, ActivityEvent, ActivityState, ActivityType, Announcement, ExecutionRecord, Status,
    ending_details,
};
use crate::query::{ActivityQuery, At, Page, QueryError, Seen};
use crate::views::Views;
use crate::write::{cancellation_state, last_place, run_state};

/// A message's beginning in an action, in characters.
const ACTION_MAX_CHARS: usize = 80;
/// A response's beginning in the details, in characters.
const PREVIEW_MAX_CHARS: usize = 200;

struct Found {
    place: u64,
    execution_id: ExecutionId,
    activity_id: uuid::Uuid,
    activity_type: ActivityType,
    state: ActivityState,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl Views {
    /// A page of the activity panel, the newest first.
    pub async fn activities(
        &self,
        scope: &Scope,
        at: At,
        query: &ActivityQuery,
    ) -> Result<Seen<Page<Activity>>, QueryError> {
        check_limit(query.limit)?;
        let log = self.log_id().clone();
        let question = format!(
            "activities {scope:?} {at:?} {:?} {:?} {:?}",
            query.agent, query.activity_type, query.state
        );
        let after = query.cursor.as_deref();
        let after = after.map(|text| Cursor::decode(text, &log, &question)).transpose()?;
        let (scope, asked) = (scope.clone(), query.clone());
        let found =
            self.ask(at, move |connection, at| find(connection, at, &scope, &asked, after)).await?;
        let Seen { position, value: mut found } = found;
        let limit = query.limit as usize;
        let more = found.len() > limit;
        found.truncate(limit);
        let next_cursor = found
            .last()
            .filter(|_| more)
            .map(|last| Cursor { key: 0, no: last.place }.encode(&log, &question));
        let ids: Vec<ExecutionId> = found.iter().map(|row| row.execution_id).collect();
        let records = self.records(&ids, position, With::Contents).await?;
        let both = found.into_iter().zip(&records);
        let items = both.filter_map(|(row, record)| Some(row.activity(record.as_ref()?)));
        Ok(Seen { position, value: Page { items: items.collect(), next_cursor } })
    }

    /// What an event means to those who watch activities; nothing for most events, and for some two
    /// messages. Reads the
    /// execution's stream, so no read model needs to have seen the event. Not scoped: the answer says
    /// whose it is.
    pub async fn announcement(
        &self,
        recorded: &Recorded,
    ) -> Result<Option<Announcement>, QueryError> {
        let event = recorded.event().map_err(|error| QueryError::Unreadable(error.to_string()))?;
        let Event::Execution(event) = event else { return Ok(None) };
        if !is_announced(&event) {
            return Ok(None);
        }
        let store = self.store();
        let events =
            store.read_stream(&recorded.stream, 0, STREAM_EVENTS_MAX, With::Contents).await?;
        let Some(record) = fold(&events, recorded.position)? else { return Ok(None) };
        let told = told_now(&event, &record);
        let number = recorded.position.number();
        let events = told.iter().zip((1..=told.len() as u64).rev()).map(|(told, left)| {
            let position = Position::new(number.saturating_sub(left - 1));
            let position = LogPosition { log: self.log_id().clone(), position };
            message(recorded, *told, &record, position.to_string())
        });
        Ok((!told.is_empty()).then(|| Announcement {
            position: recorded.position,
            events: events.collect(),
            agent: record.agent_name.clone(),
            user: record.user.clone(),
            source_agent: record.source_agent.clone(),
        }))
    }
}

fn is_announced(event: &ExecutionEvent) -> bool {
    use ExecutionEvent as E;
    match event {
        E::Running(_)
        | E::CancellationRequested(_)
        | E::Completed(_)
        | E::Failed(_)
        | E::Cancelled(_)
        | E::ResultInjected(_)
        | E::InjectionRefused(_) => true,
        E::Pending(_) | E::QueueMoved(_) | E::SignalSent(_) | E::CostCorrected(_) => false,
    }
}

/// What a message is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The execution.
    Run,
    /// The wish to stop it.
    Cancellation,
}

/// What an announced event says, in order. The end of an execution whose result is to be put into a
/// session is told once that is settled, so that it says what happened.
fn told_now(event: &ExecutionEvent, record: &ExecutionRecord) -> &'static [Told] {
    use ExecutionEvent as E;
    match event {
        E::CancellationRequested(_) => &[Told::Cancellation],
        // A cancelled wait is the cancellation itself, done at once.
        E::Cancelled(_) if record.started_at.is_none() => {
            if record.inject_result {
                &[Told::Cancellation]
            } else {
                &[Told::Cancellation, Told::Run]
            }
        }
        E::Completed(_) | E::Failed(_) | E::Cancelled(_) if record.inject_result => &[],
        _ => &[Told::Run],
    }
}

fn find(
    connection: &Connection,
    at: Option<Position>,
    scope: &Scope,
    query: &ActivityQuery,
    after: Option<Cursor>,
) -> Result<Vec<Found>, QueryError> {
    let position = at.map_or(i64::MAX, |at| columns::number(at.number()));
    // Exclusive: a cursor is the last row that was shown.
    let before = after.map_or(i64::MAX, |after| columns::number(after.no));
    let upto = at.map_or(i64::MAX, |at| columns::number(last_place(at.number())));
    let state = match at {
        None => "a.state",
        Some(_) => "(CASE WHEN a.ended_position <= ?1 THEN a.state ELSE 0 END)",
    };
    let mut values: Vec<_> = [position, before, upto].map(Value::Integer).into();
    let mut conditions = vec!["a.place < ?2".to_owned(), "a.place <= ?3".to_owned()];
    let mut and = |comparison: String, value: Value| {
        values.push(value);
        conditions.push(format!("{comparison} = ?{}", values.len()));
    };
    if let Some(agent) = &query.agent {
        and("a.agent".to_owned(), Value::Text(agent.as_str().to_owned()));
    }
    if let Some(activity_type) = query.activity_type {
        and("a.type".to_owned(), Value::Integer(activity_type.code()));
    }
    if let Some(wanted) = query.state {
        and(state.to_owned(), Value::Integer(wanted.code()));
    }
    let (scoped, of_scope) = scope_condition("a", scope, values.len() + 1);
    values.extend(of_scope);
    conditions.push(scoped);
    let sql = format!(
        "SELECT a.place, a.execution_id, a.activity_id, a.type, {state}, a.started_at,
           CASE WHEN a.ended_position <= ?1 THEN a.ended_at END
         FROM activities a {} WHERE {} ORDER BY a.place DESC LIMIT {}",
        index_for(at, scope, query),
        conditions.join(" AND "),
        query.limit + 1
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(&values), found)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// An index whose rows come in the order of the page: of what goes on there is little, of an agent's
/// less than of a type's.
fn index_for(at: Option<Position>, scope: &Scope, query: &ActivityQuery) -> &'static str {
    let going_on = at.is_none() && query.state == Some(ActivityState::Started);
    match (scope, query) {
        _ if going_on => "INDEXED BY activities_state",
        (_, ActivityQuery { agent: Some(_), .. }) => "INDEXED BY activities_agent",
        _ if scope.user().is_some() => "INDEXED BY activities_user",
        (_, ActivityQuery { activity_type: Some(_), .. }) => "INDEXED BY activities_type",
        _ if at.is_none() && query.state.is_some() => "INDEXED BY activities_state",
        _ => "NOT INDEXED",
    }
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(Found {
        place: columns::unsigned(row, 0)?,
        execution_id: ExecutionId(columns::uuid(row, 1)?),
        activity_id: columns::uuid(row, 2)?,
        activity_type: ActivityType::from_code(row.get(3)?).ok_or_else(|| Bad::at(3))?,
        state: ActivityState::from_code(row.get(4)?).ok_or_else(|| Bad::at(4))?,
        started_at: time(row.get(5)?),
        ended_at: time(row.get(6)?),
    })
}

impl Found {
    fn activity(self, record: &ExecutionRecord) -> Activity {
        let cancellation = self.activity_type == ActivityType::Cancellation;
        let observed = record.completed_at.filter(|_| !cancellation);
        Activity {
            activity_id: self.activity_id,
            activity_type: self.activity_type,
            state: self.state,
            agent: record.agent_name.clone(),
            action: action(self.activity_type, record),
            started_at: self.started_at,
            completed_at: self.ended_at.map(|recorded| observed.unwrap_or(recorded)),
            details: details(self.state, cancellation, record),
        }
    }
}

fn message(
    recorded: &Recorded,
    told: Told,
    record: &ExecutionRecord,
    position: String,
) -> ActivityEvent {
    let (activity_type, state, activity_id) = match told {
        Told::Cancellation => {
            (ActivityType::Cancellation, cancellation_state(record.status), recorded.id.0)
        }
        Told::Run => {
            let run = ActivityType::of_run(record.triggered_by, record.source_agent.as_ref());
            (run, run_state(record.status), record.execution_id.0)
        }
    };
    ActivityEvent {
        message_type: "agent_activity",
        activity_type,
        activity_state: state,
        action: action(activity_type, record),
        agent_name: record.agent_name.clone(),
        activity_id,
        timestamp: recorded.recorded_at,
        position,
        details: details(state, told == Told::Cancellation, record),
    }
}

fn details(
    state: ActivityState,
    cancellation: bool,
    record: &ExecutionRecord,
) -> serde_json::Value {
    if cancellation {
        let status: Status = record.status;
        return json!({ "execution_id": record.execution_id, "status": status });
    }
    if state == ActivityState::Started {
        return json!({
            "execution_id": record.execution_id,
            "inject_result": record.inject_result,
            "chat_session_id": record.chat_session_id,
        });
    }
    let preview = record.response.as_deref().map(|text| beginning(text, PREVIEW_MAX_CHARS).0);
    let mut details = ending_details(
        record.execution_id.0,
        record.cost,
        record.duration_ms,
        record.result_injected,
        record.chat_session_id,
        preview,
    );
    if state == ActivityState::Failed
        && let Some(error) = &record.error
    {
        let message = error.message.as_deref().map(|text| beginning(text, PREVIEW_MAX_CHARS).0);
        details["error"] = json!({ "code": error.code, "message": message });
    }
    details
}

fn action(activity_type: ActivityType, record: &ExecutionRecord) -> String {
    let source = record.source_agent.as_ref().map_or("another agent", |agent| agent.as_str());
    let what = match activity_type {
        ActivityType::SelfTask => "Background task".to_owned(),
        ActivityType::Task => "Task".to_owned(),
        ActivityType::Chat => "Chat".to_owned(),
        ActivityType::Schedule => "Scheduled task".to_owned(),
        ActivityType::Paid => "Paid task".to_owned(),
        ActivityType::AgentCollaboration => format!("Task from {source}"),
        ActivityType::Cancellation => "Cancellation".to_owned(),
    };
    let Some(message) = &record.message else { return what };
    let (beginning, cut) = beginning(message, ACTION_MAX_CHARS);
    let words: Vec<&str> = beginning.split_whitespace().collect();
    format!("{what}: {}{}", words.join(" "), if cut { "..." } else { "" })
}

/// The first characters of a text, and whether there are more.
fn beginning(text: &str, characters_max: usize) -> (&str, bool) {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}
