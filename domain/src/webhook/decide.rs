//! The rules of a webhook's life.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::check::WebhookFieldError;
use super::event::{
    DeadLettered, Delivered, Redriven, SecretRotated, Settings, WebhookChanged, WebhookDeleted,
    WebhookEvent, WebhookRegistered,
};
use super::message::Message;
use crate::Aggregate;
use crate::limits::webhook as limit;
use crate::time::Timestamp;

/// The state of one webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Webhook {
    /// No event yet.
    #[default]
    Absent,
    /// It is told what it is owed, or would be if it were enabled.
    Active(Box<Active>),
    /// It is told nothing any more.
    Deleted,
}

/// A webhook that was registered and not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// What it is told, and where.
    pub settings: Settings,
    /// Which secret it has, counted from 1.
    pub generation: u32,
    /// Until when messages are signed with the secret before it too, where there was one.
    pub previous_until: Option<Timestamp>,
    /// Messages that were given up and not redriven: at most [`limit::DEAD_MAX`].
    pub dead: BTreeSet<Message>,
    /// Messages that it took last, so that none is recorded twice.
    pub taken: VecDeque<Message>,
}

impl Webhook {
    /// The webhook while it is not deleted.
    pub fn active(&self) -> Option<&Active> {
        match self {
            Self::Active(active) => Some(active),
            Self::Absent | Self::Deleted => None,
        }
    }
}

impl Active {
    /// The generations of the secrets that a message is signed with, the current one first.
    pub fn generations(&self, now: Timestamp) -> impl Iterator<Item = u32> + use<> {
        let before = self.previous_until.filter(|until| now < *until);
        let before = before.and_then(|_| self.generation.checked_sub(1)).filter(|no| *no > 0);
        [Some(self.generation), before].into_iter().flatten()
    }
}

/// A wish about one webhook, or what has become of a message to it.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make it.
    Register(Box<Settings>),
    /// Replace its settings.
    Change(Box<Settings>),
    /// Give it another secret.
    Rotate {
        /// Now.
        now: Timestamp,
    },
    /// Tell it nothing any more.
    Delete,
    /// It took a message.
    Deliver(Delivered),
    /// A message is not tried any more.
    GiveUp(DeadLettered),
    /// Try a message that was given up again; all of them where none is named.
    Redrive(Option<Message>),
}

/// Why a command about a webhook was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no webhook of that id.
    #[error("there is no such webhook")]
    NotFound,
    /// A webhook of that id was registered before.
    #[error("this webhook was registered before")]
    AlreadyRegistered,
    /// The message is none of those that were given up.
    #[error("this message was not given up")]
    NotDead,
    /// As many messages were given up as are remembered: no other is, until some are redriven.
    #[error("{} messages were given up already: redrive them first", limit::DEAD_MAX)]
    DeadFull,
    /// A setting breaks a rule.
    #[error(transparent)]
    Settings(#[from] WebhookFieldError),
}

impl Aggregate for Webhook {
    type Event = WebhookEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn evolve(self, event: &WebhookEvent) -> Self {
        use WebhookEvent as E;
        match (self, event) {
            (Self::Absent, E::WebhookRegistered(registered)) => Self::Active(Box::new(Active {
                settings: registered.settings.clone(),
                generation: 1,
                previous_until: None,
                dead: BTreeSet::new(),
                taken: VecDeque::new(),
            })),
            (Self::Active(_), E::WebhookDeleted(_)) => Self::Deleted,
            (Self::Active(mut active), event) => {
                active.evolve(event);
                Self::Active(active)
            }
            (state, _) => state,
        }
    }

    fn decide(&self, command: Command) -> Result<Vec<WebhookEvent>, Rejection> {
        use Command as C;
        use WebhookEvent as E;
        match (self, command) {
            (Self::Absent, C::Register(settings)) => {
                settings.check()?;
                let settings = *settings;
                Ok(vec![E::WebhookRegistered(Box::new(WebhookRegistered { settings }))])
            }
            (Self::Active(_) | Self::Deleted, C::Register(_)) => Err(Rejection::AlreadyRegistered),

            (Self::Active(active), C::Change(settings)) => {
                settings.check()?;
                let settings = *settings;
                if settings == active.settings {
                    return Ok(vec![]);
                }
                Ok(vec![E::WebhookChanged(Box::new(WebhookChanged { settings }))])
            }
            (Self::Active(active), C::Rotate { now }) => {
                Ok(vec![E::SecretRotated(SecretRotated {
                    generation: active.generation.saturating_add(1),
                    previous_until: now.plus_s(limit::ROTATION_OVERLAP_S),
                })])
            }
            (Self::Active(_), C::Delete) => Ok(vec![E::WebhookDeleted(WebhookDeleted {})]),
            (Self::Deleted, C::Delete) => Ok(vec![]),

            (Self::Active(active), C::Deliver(delivered)) => {
                let before = active.taken.contains(&delivered.message);
                Ok(if before { vec![] } else { vec![E::Delivered(delivered)] })
            }
            (Self::Active(active), C::GiveUp(dead)) => active.give_up(dead),
            (Self::Active(active), C::Redrive(None)) => {
                let again = |message: &Message| E::Redriven(Redriven { message: *message });
                Ok(active.dead.iter().map(again).collect())
            }
            (Self::Active(active), C::Redrive(Some(message))) => {
                if active.dead.contains(&message) {
                    Ok(vec![E::Redriven(Redriven { message })])
                } else {
                    Err(Rejection::NotDead)
                }
            }

            (
                Self::Absent | Self::Deleted,
                C::Change(_) | C::Rotate { .. } | C::Deliver(_) | C::GiveUp(_) | C::Redrive(_),
            )
            | (Self::Absent, C::Delete) => Err(Rejection::NotFound),
        }
    }
}

impl Active {
    fn give_up(&self, dead: DeadLettered) -> Result<Vec<WebhookEvent>, Rejection> {
        if self.dead.contains(&dead.message) {
            return Ok(vec![]);
        }
        if self.dead.len() >= limit::DEAD_MAX {
            return Err(Rejection::DeadFull);
        }
        Ok(vec![WebhookEvent::DeadLettered(dead)])
    }

    fn evolve(&mut self, event: &WebhookEvent) {
        use WebhookEvent as E;
        match event {
            E::WebhookRegistered(_) | E::WebhookDeleted(_) => {}
            E::WebhookChanged(changed) => self.settings = changed.settings.clone(),
            E::SecretRotated(rotated) => {
                self.generation = rotated.generation;
                self.previous_until = Some(rotated.previous_until);
            }
            E::Delivered(delivered) => {
                self.taken.push_back(delivered.message);
                if self.taken.len() > limit::TAKEN_KEPT {
                    self.taken.pop_front();
                }
            }
            E::DeadLettered(dead) => {
                self.dead.insert(dead.message);
            }
            E::Redriven(redriven) => {
                self.dead.remove(&redriven.message);
                self.taken.retain(|message| *message != redriven.message);
            }
        }
    }
}
