// Pictures of the main pages for docs/images, of a ledger that this fills with a plausible day. Not a test:
// `make pictures` starts an empty ledger and this.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [program, into] = process.argv.slice(2);
/// How large a picture may be: it is kept with the sources.
const PICTURE_MAX_BYTES = 250_000;
const folder = mkdtempSync(join(tmpdir(), "ledger-pictures-"));
const port = await new Promise((done) => {
  const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => done(port)); });
});
const server = spawn(program, ["serve", "--listen", `127.0.0.1:${port}`], {
  env: {
    PATH: process.env.PATH, HOME: folder, EXECUTION_LEDGER_DATA_DIR: join(folder, "data"), EXECUTION_LEDGER_WORK_DIR: join(folder, "work"),
    EXECUTION_LEDGER_WEBHOOKS_ALLOW_PRIVATE: "127.0.0.0/8",
  },
  stdio: "ignore",
});
// Whatever goes wrong here, neither the ledger nor its data is left behind.
process.on("exit", () => { server.kill("SIGKILL"); rmSync(folder, { recursive: true, force: true }); });
process.env.LEDGER_URL = `http://127.0.0.1:${port}`;
for (let look = 0; ; look += 1) {
  const ready = await fetch(`${process.env.LEDGER_URL}/readyz`).catch(() => null);
  if (ready?.ok) break;
  if (look > 300 || server.exitCode !== null) throw new Error("the ledger does not start");
  await new Promise((done) => setTimeout(done, 100));
}
process.env.LEDGER_KEY = readFileSync(join(folder, "data/admin.key"), "utf8").trim();
const { api, DESK, ended, submit, url } = await import("./browser.mjs");
const { createRequire } = await import("node:module");
const { chromium } = createRequire(`${process.env.PAGE_TOOLS}/`)("playwright-core");

/// What agents are asked to do, and how it turns out.
const DAY = [
  ["reviewer", "Review the pull request that replaces the session store"],
  ["reviewer", "Check the migration scripts for statements that lock large tables"],
  ["researcher", "Compare three vendors of managed PostgreSQL by price, limits and support"],
  ["researcher", "Summarise what customers said about search in the last week"],
  ["writer", "Write the release notes of version 2.4 from the merged pull requests"],
  ["tester", "Run the end-to-end tests of checkout and explain the failures"],
  ["tester", "Find out why the nightly build takes eleven minutes longer than last month"],
  ["demo", "Draft an answer to the question about invoices in two currencies"],
  ["demo", "fail: the preview environment is not there"],
  ["researcher", "List the open questions of the data retention policy"],
  ["writer", "Translate the onboarding mails into Portuguese and check the links"],
  ["reviewer", "Look for secrets in the history of the deployment repository"],
  ["demo", "Propose names for the events of the billing stream"],
];
const SCRIPTS = {
  reviewer: 'echo "Reading the changes of 14 files"; sleep 0.7; echo "Two findings: a lock that is held across an await, and a test that asserts nothing."',
  researcher: 'echo "Collecting sources"; sleep 1.1; echo "Seven sources read"; echo "The second vendor is the cheapest up to 2 TB; only the third one has support at night."',
  writer: 'sleep 0.4; echo "Release notes with 9 entries, 2 of them breaking."',
  tester: 'echo "137 tests, 3 failed"; echo "timeout: the payment sandbox did not answer" >&2; sleep 0.5; exit 3',
};

/// Takes what webhooks are told, or not: by the path.
const receiver = createServer((request, answer) => { request.resume(); answer.writeHead(request.url === "/down" ? 503 : 204).end(); });
const hooks = await new Promise((done) => receiver.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${receiver.address().port}`)));

async function filled() {
  await api("POST", "/api/webhooks", { name: "Billing", url: `${hooks}/billing`, kinds: ["run_cost", "cost_corrected", "refund_owed"] });
  await api("POST", "/api/webhooks", { name: "On-call", url: `${hooks}/down`, kinds: ["execution.failed", "budget.threshold_reached"] });
  await api("PUT", "/api/budgets/global", { per_day_usd: 0.12, per_month_usd: 1 });
  await api("PUT", "/api/budgets/agent-demo", { per_day_usd: 0.2 });
  for (const [name, script] of Object.entries(SCRIPTS)) await api("POST", "/api/agents", { name, runtime: "command", command: ["/bin/sh", "-c", script, "sh"], max_parallel_tasks: 2 });
  const all = [];
  for (let round = 0; round < 2; round += 1) for (const [agent, message] of DAY) all.push([await submit(message, { agent }), agent]);
  for (const [id, agent] of all) await ended(id, agent);
  const create = (body) => api("POST", "/api/schedules", body).catch((error) => console.error(String(error)));
  await create({ agent_name: "tester", name: "Nightly end-to-end tests", message: "Run the end-to-end tests of checkout", cron: "30 2 * * 1-5", timezone: "Europe/Berlin" });
  await create({ agent_name: "reviewer", name: "Secrets in new commits", message: "Look for secrets in what was pushed", cron: "0 6,12,18 * * *" });
  await create({ agent_name: "tester", name: "Smoke test", message: "Run the smoke test", cron: "*/20 7-19 * * 1-5" });
  await create({ agent_name: "researcher", name: "What customers said", message: "Summarise what customers said last week", cron: "0 8 * * 1", timezone: "America/New_York" });
  const session = await api("POST", "/api/sessions", { agent_name: "demo" });
  const turn = await api("POST", `/api/sessions/${session.session_id}/messages`, { message: "Which of our services still log whole requests?", async_mode: true }).catch((error) => console.error(String(error)));
  if (turn?.execution_id) await ended(turn.execution_id, "demo");
  await submit("Draft the incident report of last night", { agent: "demo", inject_result: true, chat_session_id: session.session_id }).then((id) => ended(id)).catch((error) => console.error(String(error)));
  const running = await submit("sleep 240 and watch the roll-out of the new search index");
  await submit("sleep 200 and keep an eye on the error budget");
  const one = all.find(([, agent]) => agent === "demo")[0];
  return { one, running, session: session.session_id };
}

const secondsAgo = (n) => `${new Date(Date.now() - n * 1_000).toISOString().slice(0, 19)}Z`;
const made = await filled();
const PICTURES = [
  ["executions", "/", "light"], ["executions-dark", "/", "dark"],
  ["execution", `/agents/demo/executions/${made.one}`, "light"], ["execution-live-dark", `/agents/demo/executions/${made.running}`, "dark"],
  ["agent", "/agents/demo/tasks", "light"], ["chat", `/sessions/${made.session}`, "light"], ["activity", "/activity", "light"],
  ["timeline", `/timeline?from=${secondsAgo(45)}&to=${secondsAgo(-17)}`, "dark"], ["costs", "/costs", "light"], ["schedules", "/schedules", "light"], ["audit", "/audit", "light"],
  ["schedules-week", `/schedules/week?from=${new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10)}`, "light"],
  ["webhooks", "/webhooks", "light"],
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: DESK, reducedMotion: "reduce" });
await context.request.post(`${url}/api/sign-in`, { data: { key: process.env.LEDGER_KEY }, headers: { origin: url } });
const page = await context.newPage();
mkdirSync(into, { recursive: true });
let failed = 0;
for (const [name, address, colorScheme] of PICTURES) {
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  const answer = await page.goto(url + address);
  if (!answer.ok()) { console.error(`${address}: ${answer.status()}`); failed += 1; continue; }
  await page.waitForSelector('#live[data-state="live"]');
  await page.evaluate(() => scrollTo(0, 0));
  const path = join(into, `${name}.png`);
  await page.screenshot({ path });
  // Fewer colours where a tool is there: a quarter of the size, and no difference to the eye.
  spawnSync("convert", [path, "-strip", "-colors", "128", `PNG8:${path}`]);
  const { size } = statSync(path);
  if (size > PICTURE_MAX_BYTES) { console.error(`${path}: ${size} bytes`); failed += 1; }
}
await browser.close();
const { executions } = await api("GET", "/api/executions?status=running");
for (const { agent_name, execution_id } of executions) await api("POST", `/api/agents/${agent_name}/executions/${execution_id}/terminate`, {}).then(() => ended(execution_id, agent_name));
server.kill("SIGTERM");
receiver.closeAllConnections();
receiver.close();
await new Promise((done) => server.on("exit", done));
process.exitCode = failed ? 1 : 0;
