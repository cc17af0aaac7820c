//! Names and ids: each its own type, so that one can't stand where another is meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::content::{Digest, DigestError};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One run of a task on an agent. A UUIDv7, or a UUIDv5 derived from an idempotency key.
    ExecutionId
);
uuid_id!(
    /// One event: a UUIDv7 made once for an append and kept by its retries.
    EventId
);
uuid_id!(
    /// One start of an execution. The process that reports back must name it.
    ClaimId
);
uuid_id!(
    /// A chat session.
    SessionId
);
uuid_id!(
    /// A key by which somebody calls the ledger.
    KeyId
);
uuid_id!(
    /// A schedule.
    ScheduleId
);

uuid_id!(
    /// One of several ledgers that share a log.
    NodeId
);

uuid_id!(
    /// A browser's session. It tells one cookie from another, and opens nothing by itself.
    BrowserId
);

uuid_id!(
    /// A webhook.
    WebhookId
);

/// A payment: SHA-256 over what makes it that payment and no other, so that whoever sends it again
/// finds the first. In text 64 lower-case hexadecimal digits.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct PaymentId(pub Digest);

impl PaymentId {
    /// The id of the payment that `payer` made with `nonce` in the token `asset` of `network`. Letters'
    /// case does not tell payments apart: addresses are hexadecimal digits, written either way.
    pub fn derived(network: &str, asset: &str, payer: &str, nonce: &str) -> Self {
        let mut name = Vec::new();
        for part in [network, asset, payer, nonce] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend(part.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        Self(Digest::of(&name))
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PaymentId {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

/// Namespace of ids that are derived instead of drawn (UUIDv5).
const DERIVED: Uuid = Uuid::from_u128(0x6a1f_2f64_8f0b_5b6e_9d0a_3c55_7a1e_0c01);
/// Namespace of the ids of executions that were paid for (UUIDv5).
const PAID: Uuid = Uuid::from_u128(0x4b9e_6a02_1d7c_5c33_b2f8_90ad_37e5_6c41);
/// Namespace of the ids of attempts that follow by themselves (UUIDv5).
const NEXT_ATTEMPT: Uuid = Uuid::from_u128(0x0d3a_91c6_52e4_5f0b_8a77_b1e6_4c20_9d15);

impl ExecutionId {
    /// The id that a caller's `Idempotency-Key` for an agent stands for: the same three always
    /// give the same id, so the stream's first append decides which request was first.
    pub fn derived(caller: &str, agent: &AgentName, idempotency_key: &str) -> Self {
        let mut name = Vec::new();
        for part in [caller, agent.as_str(), idempotency_key] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part.as_bytes());
        }
        Self(Uuid::new_v5(&DERIVED, &name))
    }

    /// The id of the execution that a payment pays for: there is never more than one.
    pub fn paid_by(payment: PaymentId) -> Self {
        Self(Uuid::new_v5(&PAID, &payment.0.0))
    }

    /// The id of the attempt that follows by itself on this one: there is never more than one.
    #[must_use]
    pub fn next_attempt(self) -> Self {
        Self(Uuid::new_v5(&NEXT_ATTEMPT, self.0.as_bytes()))
    }
}

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to 63 characters: a lower-case letter or digit, then lower-case letters, digits, '_' or '-'"
)]
pub struct NameError;

fn checked(text: &str) -> Result<(), NameError> {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=63).contains(&bytes.len())
        && plain(&bytes[0])
        && bytes.iter().all(|b| plain(b) || matches!(b, b'_' | b'-'));
    if fits { Ok(()) } else { Err(NameError) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name, if the text is one: `[a-z0-9][a-z0-9_-]{0,62}`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                checked(text).map(|()| Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"})
            }
        }
    };
}

name!(
    /// The name of an agent: `[a-z0-9][a-z0-9_-]{0,62}`.
    AgentName
);
name!(
    /// The name of a user: `[a-z0-9][a-z0-9_-]{0,62}`.
    UserName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_never_paths() {
        for good in ["a", "0", "claude-code", "a_b-c9", &"a".repeat(63)] {
            assert!(AgentName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "_a", "../x", "a/b", "a b", "ä", "a\0", &"a".repeat(64)] {
            assert_eq!(AgentName::new(bad), Err(NameError), "{bad}");
        }
    }

    #[test]
    fn a_payment_is_the_same_in_either_case_and_another_by_any_of_its_parts() {
        let base = PaymentId::derived("eip155:1", "0xAb", "0xCd", "0x01");
        assert_eq!(base, PaymentId::derived("EIP155:1", "0xaB", "0xcD", "0X01"));
        for other in [
            PaymentId::derived("eip155:2", "0xab", "0xcd", "0x01"),
            PaymentId::derived("eip155:1", "0xac", "0xcd", "0x01"),
            PaymentId::derived("eip155:1", "0xab", "0xce", "0x01"),
            PaymentId::derived("eip155:1", "0xab", "0xcd", "0x02"),
            PaymentId::derived("eip155:1", "0xab0", "xcd", "0x01"),
        ] {
            assert_ne!(base, other);
            assert_ne!(ExecutionId::paid_by(base), ExecutionId::paid_by(other));
        }
        assert_eq!(base.to_string().parse(), Ok(base));
    }

    #[test]
    fn a_derived_execution_id_depends_on_each_of_its_parts_and_their_borders() {
        let agent = |n| AgentName::new(n).expect("name");
        let base = ExecutionId::derived("k1", &agent("a"), "x");
        assert_eq!(base, ExecutionId::derived("k1", &agent("a"), "x"));
        for other in [
            ExecutionId::derived("k2", &agent("a"), "x"),
            ExecutionId::derived("k1", &agent("b"), "x"),
            ExecutionId::derived("k1", &agent("a"), "y"),
            ExecutionId::derived("k1a", &agent("a"), "x"),
        ] {
            assert_ne!(base, other);
        }
    }
}
