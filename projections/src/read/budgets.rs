//! Budgets: their limits, and what is spent and kept of them.

use std::collections::HashMap;

use execution_ledger_domain::budget::{Period, SpentBy};
use execution_ledger_domain::{AgentName, BudgetScope, NanoUsd, Timestamp, UserName, limits};
use execution_ledger_store::{Position, With};
use rusqlite::{Connection, OptionalExtension, params};

use super::list::check_limit;
use super::versions::{VersionRow, Which, version, versions};
use crate::columns;
use crate::cursor::Cursor;
use crate::model::{BudgetRow, BudgetSums, BudgetWork, Budgeted, OpenExecution, OpenKept};
use crate::query::{At, PageQuery, QueryError, Seen};
use crate::views::Views;
use crate::write::{BudgetVersion, Budgets, DAY_MICROS};

/// What tells this list's cursors from those of others.
const QUESTION: &str = "budgets";

/// Sums of one agent and user.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    day: i64,
    month: i64,
    day_kept: i64,
    month_kept: i64,
    open: i64,
}

type ByWhom = HashMap<(String, String), Sums>;

impl Views {
    /// A page of budgets, the newest first, with what is spent of them. Their day and month are those
    /// of `moment`, or of the last event that was seen, whichever is later.
    pub async fn budgets(
        &self,
        at: At,
        moment: Option<Timestamp>,
        query: &PageQuery,
    ) -> Result<Seen<Budgeted>, QueryError> {
        check_limit(query.limit)?;
        let limit = query.limit as usize;
        let log = self.log_id().clone();
        let cursor = query.cursor.as_deref();
        let cursor = cursor.map(|text| Cursor::decode(text, &log, QUESTION)).transpose()?;
        let before = cursor.map(|cursor| cursor.no);
        let moment = self.moment(at, moment).await?;
        self.ask(at, move |connection, at| {
            let which = Which { active: Some(true), before, ..Which::default() };
            let mut rows = versions::<Budgets>(connection, at, &which, limit + 1)?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let last = rows.last().filter(|_| more).map(|row| row.created);
            let sums = sums(connection, at, moment)?;
            Ok(Budgeted {
                moment,
                budgets: rows.into_iter().map(|row| budget_row(row, &sums)).collect(),
                next_cursor: last.map(|no| Cursor { key: 0, no }.encode(&log, QUESTION)),
            })
        })
        .await
    }

    /// One budget, with the moment whose day and month it is about; nothing where it has no limits.
    pub async fn budget(
        &self,
        at: At,
        moment: Option<Timestamp>,
        scope: &BudgetScope,
    ) -> Result<Seen<Option<(Timestamp, BudgetRow)>>, QueryError> {
        let moment = self.moment(at, moment).await?;
        let id = scope.to_string();
        self.ask(at, move |connection, at| {
            let found = version::<Budgets>(connection, at, &id)?;
            let Some(found) = found.filter(|found| !found.state.budget.limits.is_empty()) else {
                return Ok(None);
            };
            let sums = sums(connection, at, moment)?;
            Ok(Some((moment, budget_row(found, &sums))))
        })
        .await
    }

    /// All that admission goes on from, and the position up to which it was seen.
    pub async fn budget_work(&self, now: Timestamp) -> Result<Seen<BudgetWork>, QueryError> {
        let moment = self.moment(At::Now, Some(now)).await?;
        self.ask(At::Now, move |connection, _| {
            let which = Which { active: Some(true), ..Which::default() };
            let most = limits::budget::BUDGETS_MAX;
            let budgets = versions::<Budgets>(connection, None, &which, most)?;
            let spent = sums(connection, None, moment)?
                .into_iter()
                .map(|((agent, user), sums)| spent_by(&agent, &user, sums));
            Ok(BudgetWork {
                moment,
                budgets: budgets
                    .into_iter()
                    .map(|row| (row.state.scope, row.state.budget))
                    .collect(),
                spent: spent.collect::<rusqlite::Result<_>>()?,
                open: open(connection)?,
            })
        })
        .await
    }

    /// The moment as of which sums are asked: `wanted`, but not before what was recorded.
    async fn moment(&self, at: At, wanted: Option<Timestamp>) -> Result<Timestamp, QueryError> {
        let position = self.position_for(at)?.number();
        let wanted = wanted.unwrap_or(Timestamp::EPOCH);
        let Some(before) = position.checked_sub(1) else { return Ok(wanted) };
        let read = self.store().read_all(Position::new(before), 1, With::EventsOnly).await?;
        Ok(read.first().map_or(wanted, |last| wanted.max(last.recorded_at)))
    }
}

fn spent_by(agent: &str, user: &str, sums: Sums) -> rusqlite::Result<SpentBy> {
    let Sums { day, month, day_kept, month_kept, .. } = sums;
    Ok(SpentBy {
        agent: AgentName::new(agent).map_err(|_| columns::Bad::at(0))?,
        user: UserName::new(user).map_err(|_| columns::Bad::at(1))?,
        day,
        month,
        day_kept,
        month_kept,
    })
}

fn open(connection: &Connection) -> Result<Vec<OpenKept>, QueryError> {
    let mut select = connection.prepare_cached(
        "SELECT open.data, kept.amount FROM open LEFT JOIN budget_kept kept ON kept.no = open.no",
    )?;
    let rows = select.query_map([], |row| {
        let open: OpenExecution = columns::from_json(row, 0)?;
        Ok(OpenKept {
            id: open.id,
            agent: open.agent,
            user: open.user,
            max: columns::optional_money(row, 1)?,
            started: open.running,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn budget_row(row: VersionRow<BudgetVersion>, sums: &ByWhom) -> BudgetRow {
    let BudgetVersion { scope, budget, set_at } = row.state;
    let (mut day, mut month) = ([0_i128; 2], [0_i128; 2]);
    for ((agent, user), sums) in sums {
        let counts = match &scope {
            BudgetScope::Global => true,
            BudgetScope::Agent(own) => own.as_str() == agent,
            BudgetScope::User(own) => own.as_str() == user,
        };
        if counts {
            let open = i128::from(sums.open);
            day[0] += i128::from(sums.day);
            day[1] += i128::from(sums.day_kept) + open;
            month[0] += i128::from(sums.month);
            month[1] += i128::from(sums.month_kept) + open;
        }
    }
    let told = |[committed, reserved]: [i128; 2]| BudgetSums {
        committed: money(committed),
        reserved: money(reserved),
    };
    BudgetRow { scope, budget, set_at, position: row.since, day: told(day), month: told(month) }
}

/// A sum as an amount, held at the largest one.
fn money(nanos: i128) -> NanoUsd {
    let most = i128::from(NanoUsd::MAX.nanos());
    let held = i64::try_from(nanos.clamp(-most, most)).unwrap_or_default();
    NanoUsd::from_nanos(held).unwrap_or(NanoUsd::MAX)
}

/// What is spent and kept in the day and month of a moment, by agent and user.
fn sums(
    connection: &Connection,
    at: Option<Position>,
    moment: Timestamp,
) -> Result<ByWhom, QueryError> {
    let began = |period: Period| period.began(moment).map_or(0, Timestamp::micros);
    let (day, month) = (began(Period::Day), began(Period::Month));
    let (today, first) = (day / DAY_MICROS, month / DAY_MICROS);
    let mut sums = ByWhom::new();
    let mut add = |of_day: i64, (agent, user, amount): (String, String, i64)| {
        let sums = sums.entry((agent, user)).or_default();
        sums.month = sums.month.saturating_add(amount);
        if of_day == today {
            sums.day = sums.day.saturating_add(amount);
        }
    };
    // Within the last day that was seen, the rows tell what was spent up to the position.
    let last_day = match at {
        None => None,
        Some(at) => last_spent(connection, at)?.map(|at| at.div_euclid(DAY_MICROS)).or(Some(0)),
    };
    let whole_until = last_day.map_or(today, |last| today.min(last - 1));
    let mut select = connection.prepare_cached(
        "SELECT day, agent, user, spent FROM budget_days WHERE day >= ? AND day <= ?",
    )?;
    let mut rows = select.query([first, whole_until])?;
    while let Some(row) = rows.next()? {
        add(row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?));
    }
    if let (Some(at), Some(last)) = (at, last_day.filter(|last| (first..=today).contains(last))) {
        let mut select = connection.prepare_cached(
            "SELECT agent, user, coalesce(sum(amount), 0) FROM billing
             WHERE position >= (SELECT first FROM billing_days WHERE day = ?1)
               AND position <= ?2 AND payment IS NULL GROUP BY agent, user",
        )?;
        let mut rows = select.query([last, columns::number(at.number())])?;
        while let Some(row) = rows.next()? {
            add(last, (row.get(0)?, row.get(1)?, row.get(2)?));
        }
    }
    add_kept(connection, at, (day, month), &mut sums)?;
    Ok(sums)
}

/// When the last cost was recorded that stands at a position or before.
fn last_spent(connection: &Connection, at: Position) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT at FROM billing WHERE position <= ? ORDER BY position DESC LIMIT 1",
        )?
        .query_row([columns::number(at.number())], |row| row.get(0))
        .optional()
}

/// Adds what executions keep whose cost is not known.
fn add_kept(
    connection: &Connection,
    at: Option<Position>,
    (day, month): (i64, i64),
    sums: &mut ByWhom,
) -> rusqlite::Result<()> {
    let at = at.map_or(i64::MAX, |at| columns::number(at.number()));
    let mut select = connection.prepare_cached(
        "SELECT agent, user, ended IS NULL OR ended > ?1, ended_at >= ?2, sum(amount)
         FROM budget_kept
         WHERE no <= ?1 AND (released IS NULL OR released > ?1)
           AND (ended IS NULL OR ended > ?1 OR ended_at >= ?3)
         GROUP BY 1, 2, 3, 4",
    )?;
    let mut rows = select.query(params![at, day, month])?;
    while let Some(row) = rows.next()? {
        let sums = sums.entry((row.get(0)?, row.get(1)?)).or_default();
        let amount: i64 = row.get(4)?;
        if row.get(2)? {
            sums.open = sums.open.saturating_add(amount);
        } else {
            sums.month_kept = sums.month_kept.saturating_add(amount);
            if row.get::<_, Option<bool>>(3)?.unwrap_or(false) {
                sums.day_kept = sums.day_kept.saturating_add(amount);
            }
        }
    }
    Ok(())
}
