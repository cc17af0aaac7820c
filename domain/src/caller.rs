//! Who is calling, and what they may do.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::ids::{AgentName, ExecutionId};
use crate::scope::{Ownership, Scope};

/// What a caller is to the ledger.
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
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but keys, budgets, webhooks and the registration of agents, which is the right to run
    /// a command.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads what runs cost, and nothing else.
    Billing,
    /// Own executions and sessions, on the agents that the key may call.
    User,
    /// What an agent ran or started, calls to itself and to the agents it may call.
    Agent,
}

impl Role {
    /// All roles, the widest first.
    pub const ALL: [Self; 6] =
        [Self::Admin, Self::Operator, Self::Auditor, Self::Billing, Self::User, Self::Agent];

    /// Its name in JSON and in columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Billing => "billing",
            Self::User => "user",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Submit tasks, stop executions and try them again, within the caller's scope.
    Operate,
    /// Read executions, transcripts, activities and agents, within the caller's scope.
    Read,
    /// Read cost summaries, within the caller's scope.
    ReadCosts,
    /// Read the raw log, which knows no scope.
    ReadLog,
    /// Open chat sessions, post messages in them and close them, within the caller's scope.
    Chat,
    /// Read chat sessions, within the caller's scope.
    ReadSessions,
    /// Change the order of queues; let agents start nothing new, start again, or take no more tasks.
    ManageQueues,
    /// Create, change and trigger schedules.
    ManageSchedules,
    /// Read schedules and what they decided.
    ReadSchedules,
    /// Register and configure agents, which is the right to run a command.
    ManageAgents,
    /// Issue and revoke keys.
    ManageKeys,
    /// Read which keys there are; their secrets are never kept.
    ReadKeys,
    /// Correct what an ended execution cost.
    CorrectCosts,
    /// Read the feed of costs and payments, which knows no scope.
    ReadFeed,
    /// Set budgets.
    ManageBudgets,
    /// Read budgets and what is spent of them.
    ReadBudgets,
    /// Register, change and delete webhooks, and have dead letters sent again.
    ManageWebhooks,
    /// Read webhooks and what they were told.
    ReadWebhooks,
    /// Decide payments of which nobody can say whether they were made.
    ManagePayments,
    /// Read payments.
    ReadPayments,
    /// Erase texts for ever.
    Erase,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 21] = [
        Self::Operate,
        Self::Read,
        Self::ReadCosts,
        Self::ReadLog,
        Self::Chat,
        Self::ReadSessions,
        Self::ManageQueues,
        Self::ManageSchedules,
        Self::ReadSchedules,
        Self::ManageAgents,
        Self::ManageKeys,
        Self::ReadKeys,
        Self::CorrectCosts,
        Self::ReadFeed,
        Self::ManageBudgets,
        Self::ReadBudgets,
        Self::ManageWebhooks,
        Self::ReadWebhooks,
        Self::ManagePayments,
        Self::ReadPayments,
        Self::Erase,
    ];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operate => "operate",
            Self::Read => "read",
            Self::ReadCosts => "read_costs",
            Self::ReadLog => "read_log",
            Self::Chat => "chat",
            Self::ReadSessions => "read_sessions",
            Self::ManageQueues => "manage_queues",
            Self::ManageSchedules => "manage_schedules",
            Self::ReadSchedules => "read_schedules",
            Self::ManageAgents => "manage_agents",
            Self::ManageKeys => "manage_keys",
            Self::ReadKeys => "read_keys",
            Self::CorrectCosts => "correct_costs",
            Self::ReadFeed => "read_feed",
            Self::ManageBudgets => "manage_budgets",
            Self::ReadBudgets => "read_budgets",
            Self::ManageWebhooks => "manage_webhooks",
            Self::ReadWebhooks => "read_webhooks",
            Self::ManagePayments => "manage_payments",
            Self::ReadPayments => "read_payments",
            Self::Erase => "erase",
        }
    }

    /// The right of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.as_str() == name)
    }
}

impl Role {
    /// Whether the role has the right at all; the caller's scope narrows it further.
    pub fn has(self, right: Right) -> bool {
        use Right as R;
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(
                right,
                R::ManageAgents
                    | R::ManageKeys
                    | R::ReadKeys
                    | R::ManageBudgets
                    | R::ReadBudgets
                    | R::ManageWebhooks
                    | R::ReadWebhooks
            ),
            Self::Auditor => matches!(
                right,
                R::Read
                    | R::ReadCosts
                    | R::ReadLog
                    | R::ReadSessions
                    | R::ReadSchedules
                    | R::ReadKeys
                    | R::ReadFeed
                    | R::ReadBudgets
                    | R::ReadWebhooks
                    | R::ReadPayments
            ),
            Self::Billing => matches!(right, R::ReadCosts | R::ReadFeed),
            Self::User => {
                matches!(right, R::Operate | R::Read | R::ReadCosts | R::Chat | R::ReadSessions)
            }
            Self::Agent => matches!(right, R::Operate | R::Read | R::ReadCosts),
        }
    }
}

/// The run that is calling: what a run token says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRun {
    /// The execution that is calling: the parent of what it starts.
    pub execution_id: ExecutionId,
    /// The agent that runs it.
    pub agent: AgentName,
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As events name them.
    pub actor: Actor,
    /// What they are.
    pub role: Role,
    /// What they may see.
    pub scope: Scope,
    /// The run that is calling, where one is.
    pub run: Option<CallerRun>,
    /// The agents that the caller may give tasks to; `None` for all.
    pub may_call: Option<BTreeSet<AgentName>>,
}

impl Caller {
    /// Whether the caller may see an agent: what it is like and how busy, without what only those see
    /// who register agents. An agent sees itself; of those that it may call it knows the names.
    pub fn sees_agent(&self, name: &AgentName) -> bool {
        match (&self.scope, &self.may_call) {
            (Scope::All, _) | (Scope::User(_), None) => true,
            (Scope::User(_), Some(names)) => names.contains(name),
            (Scope::Agent(own) | Scope::AgentFor { agent: own, .. }, _) => own == name,
        }
    }

    /// Whether the caller may see an execution.
    pub fn sees(&self, owned: &Ownership<'_>) -> bool {
        self.scope.covers(owned)
    }

    /// Whether the caller may stop an execution that it sees, or have it tried again. An agent works
    /// for many users, and with a key of its own sees what it does for all of them; what it does for
    /// one of them must not reach the work of another.
    pub fn may_change(&self, owned: &Ownership<'_>) -> bool {
        let same_user = match self.scope {
            Scope::All => true,
            Scope::User(_) | Scope::Agent(_) | Scope::AgentFor { .. } => {
                *owned.user == self.actor.user
            }
        };
        same_user && self.sees(owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::ActorKind;
    use crate::ids::UserName;

    fn caller(scope: Scope, may_call: Option<&[&str]>) -> Caller {
        let user = UserName::new("ada").expect("a name");
        let actor = Actor { kind: ActorKind::Key, id: "k".to_owned(), user, agent: None };
        let may_call = may_call
            .map(|names| names.iter().map(|name| AgentName::new(name).expect("a name")).collect());
        Caller { actor, role: Role::User, scope, run: None, may_call }
    }

    #[test]
    fn agents_are_seen_by_those_who_may_call_them_and_by_themselves() {
        let agent = |name| AgentName::new(name).expect("a name");
        let user = || Scope::User(UserName::new("ada").expect("a name"));
        assert!(caller(Scope::All, None).sees_agent(&agent("a")));
        assert!(caller(user(), None).sees_agent(&agent("a")));
        assert!(caller(user(), Some(&["a"])).sees_agent(&agent("a")));
        assert!(!caller(user(), Some(&["a"])).sees_agent(&agent("b")));
        let own = caller(Scope::Agent(agent("a")), Some(&["a", "b"]));
        assert!(own.sees_agent(&agent("a")) && !own.sees_agent(&agent("b")));
    }

    #[test]
    fn an_agent_sees_what_it_does_for_every_user_and_changes_what_it_does_for_its_own() {
        let (agent, other) =
            (AgentName::new("a").expect("a name"), AgentName::new("b").expect("a name"));
        let (ada, bob) =
            (UserName::new("ada").expect("a name"), UserName::new("bob").expect("a name"));
        let owned = |user, agent, source_agent| Ownership { agent, user, source_agent };
        let key = caller(Scope::Agent(agent.clone()), Some(&["a"]));
        for (owned, sees, may_change) in [
            (owned(&ada, &agent, None), true, true),
            (owned(&ada, &other, Some(&agent)), true, true),
            (owned(&bob, &agent, None), true, false),
            (owned(&bob, &other, Some(&agent)), true, false),
            (owned(&ada, &other, None), false, false),
        ] {
            assert_eq!((key.sees(&owned), key.may_change(&owned)), (sees, may_change), "{owned:?}");
            // Its run sees no more than it may change: nothing of what it does for others.
            let scope = Scope::AgentFor { agent: agent.clone(), user: ada.clone() };
            let run = caller(scope, Some(&["a"]));
            assert_eq!((run.sees(&owned), run.may_change(&owned)), (may_change, may_change));
        }
        let operator = caller(Scope::All, None);
        assert!(operator.may_change(&owned(&bob, &agent, None)));
        let user = caller(Scope::User(ada.clone()), None);
        assert!(user.may_change(&owned(&ada, &other, None)));
        assert!(!user.may_change(&owned(&bob, &agent, None)));
    }

    #[test]
    fn every_right_has_a_name_of_its_own_and_the_admin_has_all() {
        for right in Right::ALL {
            assert_eq!(Right::named(right.as_str()), Some(right));
            assert!(Role::Admin.has(right));
        }
        assert_eq!(Right::named("none"), None);
    }

    #[test]
    fn only_admins_hand_out_rights_and_auditors_and_billing_change_nothing() {
        use Right as R;
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
            for right in [R::ManageKeys, R::ManageAgents, R::ManageBudgets, R::ManageWebhooks] {
                assert!(!role.has(right), "{role}");
            }
        }
        let changes = [
            R::Operate,
            R::Chat,
            R::ManageQueues,
            R::ManageSchedules,
            R::CorrectCosts,
            R::ManagePayments,
            R::Erase,
        ];
        for role in [Role::Auditor, Role::Billing] {
            assert!(changes.into_iter().all(|right| !role.has(right)), "{role}");
        }
        let billing = Right::ALL.into_iter().filter(|right| Role::Billing.has(*right));
        assert_eq!(billing.collect::<Vec<_>>(), [R::ReadCosts, R::ReadFeed]);
    }
}
