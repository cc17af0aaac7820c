//! The pages in a real browser (Debian's Chromium), over the real server: the stories stand in
//! tests/pages, a file for each part.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::paid::shop::{Shop, payment_in};
use crate::paid::stage::Stage;
use crate::support::{Server, repository};

/// Where `make test-tools` puts what the stories need.
const TOOLS: &str = "target/test-tools/pages";
/// Where a system keeps Chromium.
const CHROMIUM: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

fn chromium() -> &'static Path {
    let found = CHROMIUM.iter().map(Path::new).find(|path| path.exists());
    found.expect("Chromium is missing: run `make test`, or apt-get install chromium")
}

fn tools() -> PathBuf {
    let tools = repository(TOOLS);
    let missing = "the stories' tools are missing: run `make test-tools`";
    assert!(tools.join("node_modules/playwright-core").exists(), "{missing}");
    tools
}

/// The way to have a browser tell the stories of a file.
fn stories(file: &str, server: &Server) -> Command {
    let mut stories = Command::new("node");
    stories.arg(repository("tests/pages").join(file));
    stories.env("LEDGER_URL", &server.url).env("LEDGER_KEY", &server.key);
    stories.env("PAGE_TOOLS", tools()).env("CHROMIUM", chromium());
    stories
}

/// Has a browser tell the stories of a file. `PAGE_SHOTS` names a folder for pictures.
pub async fn told(file: &str, server: &Server) {
    let mut stories = stories(file, server);
    let told = tokio::task::spawn_blocking(move || stories.output()).await.expect("not cancelled");
    let told = told.expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(told.status.success(), "{}\n{}", text(&told.stdout), text(&told.stderr));
}

#[tokio::test]
async fn executions_are_read_given_watched_and_stopped_in_a_browser() {
    let server = Server::start(&[]).await;
    told("executions.mjs", &server).await;
}

#[tokio::test]
async fn chats_are_held_with_work_in_their_background_in_a_browser() {
    let server = Server::start(&[]).await;
    // The agent's gate is opened by the story.
    let _gate = crate::sessions::chat_agent(&server, 2).await;
    told("chats.mjs", &server).await;
}

#[tokio::test]
async fn what_goes_on_and_when_what_ran_is_seen_in_a_browser() {
    let server = Server::start(&[]).await;
    told("activity.mjs", &server).await;
}

#[tokio::test]
async fn agents_are_registered_given_tasks_watched_and_steered_in_a_browser() {
    let server = Server::start(&[]).await;
    told("agents.mjs", &server).await;
}

#[tokio::test]
async fn the_past_is_looked_at_verified_and_proven_and_keys_come_and_go_in_a_browser() {
    let server = Server::start(&[]).await;
    told("audit.mjs", &server).await;
}

#[tokio::test]
async fn many_executions_all_texts_and_long_transcripts_are_handled_in_a_browser() {
    let server = Server::start(&[]).await;
    told("many.mjs", &server).await;
}

#[tokio::test]
async fn an_outage_is_seen_and_what_happened_since_is_caught_up_with_in_a_browser() {
    let mut server = Server::start(&[]).await;
    let mut stories = tokio::process::Command::from(stories("outage.mjs", &server));
    stories.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut telling = stories.spawn().expect("node runs");
    let mut orders = telling.stdin.take().expect("piped");
    let mut said = BufReader::new(telling.stdout.take().expect("piped")).lines();
    let mut all = String::new();
    while let Some(line) = said.next_line().await.expect("lines") {
        match line.as_str() {
            "kill" => server.kill(),
            "start" => server.start_again_in_place().await,
            "stop" => server.stop().await,
            "freeze" => signal(&server, Signal::SIGSTOP),
            "thaw" => signal(&server, Signal::SIGCONT),
            _ => {
                all.push_str(&line);
                all.push('\n');
                continue;
            }
        }
        orders.write_all(b"done\n").await.expect("node listens");
    }
    assert!(telling.wait().await.expect("node ends").success(), "{all}");
}

fn signal(server: &Server, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a pid"));
    kill(pid, signal).expect("our child");
}

#[tokio::test]
async fn costs_and_budgets_are_seen_set_and_corrected_in_a_browser() {
    let server = Server::start(&[]).await;
    told("costs.mjs", &server).await;
}

#[tokio::test]
async fn schedules_are_made_triggered_changed_and_deleted_in_a_browser() {
    let server = Server::start(&[]).await;
    told("schedules.mjs", &server).await;
}

#[tokio::test]
async fn claude_code_is_given_work_watched_stopped_continued_and_repeated_in_a_browser() {
    let setup = crate::claude_code::Setup::start().await;
    told("claude.mjs", &setup.server).await;
}

#[tokio::test]
async fn webhooks_are_registered_tried_changed_and_deleted_in_a_browser() {
    let server = Server::start(&[("EXECUTION_LEDGER_WEBHOOKS_ALLOW_PRIVATE", "127.0.0.0/8")]).await;
    told("webhooks.mjs", &server).await;
}

#[tokio::test]
async fn payments_are_read_and_what_nobody_knows_is_decided_in_a_browser() {
    let shop = Shop::open_without_chain(Stage::shared().await).await;
    let payer = shop.payer().await;
    for (message, status) in [("Say hello", "settled"), ("fail on purpose", "refund_owed")] {
        let payment = payment_in(&shop.pay(&payer, message).await);
        shop.await_status(&payment, status).await;
    }
    shop.facilitator.misbehave("settle", "cut").await;
    let unknown = payment_in(&shop.pay(&payer, "Say hello again").await);
    shop.await_status(&unknown, "settlement_unknown").await;
    told("payments.mjs", &shop.server).await;
}

#[tokio::test]
async fn what_holds_on_every_page_and_for_each_role_does_so_in_a_browser() {
    let server = Server::start(&[]).await;
    told("everywhere.mjs", &server).await;
}
