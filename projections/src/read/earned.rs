//! What was paid for executions: sums by token, exact however large.

use std::collections::BTreeMap;

use execution_ledger_domain::Scope;
use execution_ledger_domain::billing::BillingKind;
use rusqlite::{Connection, params_from_iter};

use super::costs::{Groups, Rows, Sum, key_of_row, name_of};
use crate::columns;
use crate::model::{Earned, PaymentFacts, kind_code};
use crate::query::{BUCKETS_MAX, CostsBy, QueryError};

/// What was earned, by token.
#[derive(Default)]
pub(super) struct EarnedSums(BTreeMap<String, Earned>);

impl EarnedSums {
    /// By token ascending.
    pub fn into_list(self) -> Vec<Earned> {
        self.0.into_values().collect()
    }

    fn add(&mut self, facts: &PaymentFacts, is_refund: bool) -> Result<(), QueryError> {
        let sums = match self.0.get_mut(&facts.unit) {
            Some(sums) => sums,
            None => self.0.entry(facts.unit.clone()).or_insert_with(|| Earned {
                unit: facts.unit.clone(),
                settled: "0".to_owned(),
                refund_owed: "0".to_owned(),
                ..Earned::default()
            }),
        };
        let (count, sum) = if is_refund {
            (&mut sums.refunds, &mut sums.refund_owed)
        } else {
            (&mut sums.payments, &mut sums.settled)
        };
        *count += 1;
        let added = added(sum, &facts.amount);
        *sum = added.ok_or_else(|| QueryError::Unreadable("an amount of a payment".to_owned()))?;
        Ok(())
    }
}

/// Adds the payments among these rows to their groups and to the sum of all.
pub(super) fn add(
    connection: &Connection,
    scope: &Scope,
    rows: Rows,
    by: CostsBy,
    groups: &mut Groups,
    all: &mut Sum,
) -> Result<(), QueryError> {
    let (meant, values) = rows.conditions(scope);
    let sql = format!(
        "SELECT {}, kind, payment FROM billing c INDEXED BY billing_payments
         WHERE payment IS NOT NULL AND {meant} ORDER BY position",
        key_of_row(by)
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut found = select.query(params_from_iter(values))?;
    let refund = kind_code(BillingKind::RefundOwed);
    while let Some(row) = found.next()? {
        let is_refund = row.get::<_, i64>(1)? == refund;
        let facts: PaymentFacts = columns::from_json(row, 2)?;
        all.earned.add(&facts, is_refund)?;
        let key = name_of(by, row.get(0)?);
        // A group that is not there stands beyond those that are shown.
        if groups.len() <= BUCKETS_MAX || groups.contains_key(&key) {
            groups.entry(key).or_default().earned.add(&facts, is_refund)?;
        }
    }
    Ok(())
}

/// The sum of two numbers of decimal digits; nothing where one is none.
fn added(one: &str, other: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(one) || !is_number(other) {
        return None;
    }
    let mut digits = Vec::with_capacity(one.len().max(other.len()) + 1);
    let (mut ones, mut others) = (one.bytes().rev(), other.bytes().rev());
    let mut carried = 0;
    loop {
        let (a, b) = (ones.next(), others.next());
        if a.is_none() && b.is_none() && carried == 0 {
            break;
        }
        let sum = a.map_or(0, |a| a - b'0') + b.map_or(0, |b| b - b'0') + carried;
        digits.push(b'0' + sum % 10);
        carried = sum / 10;
    }
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }
    digits.reverse();
    String::from_utf8(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn sums_of_tokens_are_exact_beyond_any_machine_number() {
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let more = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(added(most, "1").as_deref(), Some(more));
        assert_eq!(added("999", "1").as_deref(), Some("1000"));
        assert_eq!(added("0", "0").as_deref(), Some("0"));
        assert_eq!(added("007", "3").as_deref(), Some("10"));
        for none in ["", "-1", "1.5", "0x1"] {
            assert_eq!(added("1", none), None, "{none}");
        }
    }
}
