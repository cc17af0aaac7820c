//! The nodes that share the log, where there are several: which lives, which leads, what each holds.

use maud::{Markup, html};
use serde::Deserialize;

use crate::interface::{Interface, Visitor, quoted};
use crate::words::{duration, number};

/// Agents of a node that are named; others are counted.
const AGENTS_SHOWN: usize = 12;

/// Characters of a node's id that tell it from others of its host.
const ID_CHARS: usize = 6;
/// What is less long ago than this, in milliseconds, is said to be just now: nodes are looked at a few
/// times in their lease.
const JUST_NOW_MS: u64 = 1_000;

/// What the interface answers of the nodes.
#[derive(Deserialize)]
struct NodeList {
    nodes: Vec<Node>,
}

/// A node, as the one that answers sees it.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "node_id")]
    id: String,
    name: String,
    url: String,
    version: String,
    alive: bool,
    leader: bool,
    this: bool,
    silent_ms: u64,
    running: u64,
    agents: Vec<String>,
}

/// The section, looked at again now and then; nothing where the ledger is alone with its log, or where
/// the visitor may not see it.
pub(super) async fn section(interface: &Interface, visitor: &Visitor) -> Markup {
    let nodes = interface.get::<NodeList>(visitor, "/api/nodes").await;
    nodes.map_or_else(|_| html! {}, |list| of(&list.nodes))
}

fn of(nodes: &[Node]) -> Markup {
    if nodes.is_empty() {
        return html! {};
    }
    html! {
        section #nodes data-follows data-polls aria-labelledby="nodes-head" {
            h2 #nodes-head { "Nodes" }
            p .quiet { "Ledgers that share this log, as the one that you look at sees them. One leads; each agent's runs are started by one of them at a time." }
            div .table-wrap {
                table .cards {
                    caption .sr { "Nodes that share the log" }
                    thead { tr {
                        th scope="col" { "Node" } th scope="col" { "State" } th scope="col" { "Heard of" }
                        th scope="col" { "Running" } th scope="col" { "Agents" }
                    } }
                    tbody { @for node in nodes { (row(node)) } }
                }
            }
        }
    }
}

/// How long ago something was heard of a node.
fn heard_of(silent_ms: u64) -> String {
    if silent_ms < JUST_NOW_MS {
        return "just now".to_owned();
    }
    format!("{} ago", duration(silent_ms))
}

/// How a node is called: as its host, told from others there by the end of its id.
fn called(node: &Node) -> String {
    let id = node.id.char_indices().rev().nth(ID_CHARS - 1);
    format!("{}-{}", node.name, id.map_or(node.id.as_str(), |(at, _)| &node.id[at..]))
}

fn row(node: &Node) -> Markup {
    let state = match (node.alive, node.leader) {
        (true, true) => "leads",
        (true, false) => "lives",
        (false, _) => "lost",
    };
    html! {
        tr id={ "n-" (node.id) } {
            td data-name="Node" {
                div { b { (called(node)) } @if node.this { span .quiet { " · the one that answers you" } } }
                " "
                div .quiet { (node.url) " · " (node.version) }
            }
            td data-name="State" { span .differs[!node.alive] { (state) } }
            td data-name="Heard of" { (heard_of(node.silent_ms)) }
            td data-name="Running" { (number(node.running)) }
            td data-name="Agents" {
                @for (place, agent) in node.agents.iter().take(AGENTS_SHOWN).enumerate() {
                    @if place > 0 { ", " }
                    a href={ "/agents/" (quoted(agent)) } { (agent) }
                }
                @match node.agents.len() {
                    0 => span .quiet { "none" },
                    all if all > AGENTS_SHOWN => { " and " (number((all - AGENTS_SHOWN) as u64)) " more" },
                    _ => {},
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes(nodes: &serde_json::Value) -> Vec<Node> {
        serde_json::from_value(nodes.clone()).expect("nodes")
    }

    #[test]
    fn several_nodes_are_shown_with_who_leads_who_is_lost_and_which_agents_are_where() {
        let evil = "<img src=x>";
        let node = |name: &str, alive: bool, leader: bool, agents: &[&str]| {
            json!({
                "node_id": format!("0193-{name}bcdef"), "name": evil, "url": "http://one.example", "version": "1.0.0",
                "alive": alive, "leader": leader, "this": leader, "silent_ms": 1_500,
                "running": 3, "agents": agents,
            })
        };
        let many: Vec<String> = (0..20).map(|number| format!("agent-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let list = json!([
            node("a", true, true, &["ada"]),
            node("b", false, false, &[]),
            node("c", true, false, &many)
        ]);
        let html = of(&nodes(&list)).into_string();
        for expected in [
            "leads",
            "lost",
            "lives",
            "href=\"/agents/ada\"",
            "none",
            "and 8 more",
            "1.5 s ago",
            "-abcdef",
        ] {
            assert!(html.contains(expected), "{expected}: {html}");
        }
        assert!(!html.contains(evil), "{html}");
    }

    #[test]
    fn a_ledger_that_is_alone_shows_nothing_of_nodes() {
        assert_eq!(of(&nodes(&json!([]))).into_string(), "");
    }
}
