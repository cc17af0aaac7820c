//! Which turns of chat sessions begin.

use std::collections::HashSet;

use super::lines::{AgentStatus, Entry, Kind, Stage};
use super::{Effect, Place, Policy};
use crate::ids::{AgentName, ExecutionId, SessionId};

/// What a turn goes on from is asked of the read models while it holds a place. Turns for which that
/// is under way hold at most one part in so many of all places, and one at least: read models that
/// stand still must not keep tasks from starting.
const BEGINNING_PART: u32 = 4;

/// A turn that could begin.
struct Ready {
    execution: ExecutionId,
    agent: AgentName,
    place: Place,
    given_back: u32,
}

impl Policy {
    pub(super) fn begin_chat_turns(&mut self, effects: &mut Vec<Effect>, most: usize) {
        let beginning_max = (self.ceiling.max_parallel_total / BEGINNING_PART).max(1) as usize;
        let room = beginning_max.saturating_sub(self.turns_beginning());
        for turn in self.ready_turns().into_iter().take(room) {
            if effects.len() >= most || self.all_held() >= self.ceiling.max_parallel_total {
                return;
            }
            self.turn_waits_no_more(&turn.agent, turn.place, turn.execution);
            self.take(turn.execution, &turn.agent, turn.place, effects);
        }
    }

    /// The first turn that could begin of each session in which none runs, in order; but those whose
    /// start led to no event come after the others, so that no session keeps all others waiting.
    fn ready_turns(&self) -> Vec<Ready> {
        let mut sessions: HashSet<SessionId> = HashSet::new();
        let mut ready = Vec::new();
        for (place, execution) in &self.chat_waiting {
            let Some(agent) = self.agent_of.get(execution) else { continue };
            let Some(line) = self.lines.get(agent) else { continue };
            let Some(entry) = line.executions.get(execution) else { continue };
            let Kind::ChatTurn(session) = entry.kind else { continue };
            let free = !self.chat_sessions_running.contains_key(&session);
            let begins =
                free && line.status == AgentStatus::Active && !self.busy.contains(execution);
            let begins = begins && (self.nodes.is_none() || line.hosted.is_some());
            if begins && sessions.insert(session) {
                ready.push(Ready {
                    execution: *execution,
                    agent: agent.clone(),
                    place: *place,
                    given_back: entry.given_back,
                });
            }
        }
        ready.sort_by_key(|turn| (turn.given_back, turn.place));
        ready
    }

    /// How many turns hold a place whose claim is not known of yet.
    fn turns_beginning(&self) -> usize {
        let entry = |id: &ExecutionId| -> Option<&Entry> {
            self.lines.get(self.agent_of.get(id)?)?.executions.get(id)
        };
        let held = self.chat_sessions_running.values().filter_map(entry);
        held.filter(|entry| matches!(entry.stage, Stage::Starting)).count()
    }
}
