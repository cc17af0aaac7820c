// A browser that is signed in, and what all stories of the pages have in common: no request to another
// host, no error on the console, no violation of the rules of accessibility.
//
// LEDGER_URL and LEDGER_KEY say where the ledger is; PAGE_TOOLS where its tools were installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const tools = createRequire(`${process.env.PAGE_TOOLS}/`);
const { chromium } = tools("playwright-core");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");
export const url = process.env.LEDGER_URL;
const key = process.env.LEDGER_KEY;

/// How long something may take to be seen, in milliseconds.
export const PATIENCE_MS = 20_000;
export const DESK = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export function expect(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

/// Asks the interface, as a program does.
export async function api(method, path, body) {
  const answer = await fetch(url + path, {
    method, headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/// What the interface answers once it has seen all that is in the log by now: a page tells what was done as
/// soon as it is recorded, which can be a moment before lists have it.
export async function known(path) {
  const end = await fetch(`${url}/api/events?after=head`, { headers: { authorization: `Bearer ${key}` } });
  const seen = new URLSearchParams({ wait_for: end.headers.get("ledger-position") });
  return api("GET", `${path}${path.includes("?") ? "&" : "?"}${seen}`);
}

/// Gives the agent a task and answers its execution's id.
export async function submit(message, { agent = "demo", ...task } = {}) {
  const accepted = await api("POST", `/api/agents/${agent}/task`, { message, async_mode: true, ...task });
  return accepted.execution_id;
}

/// Waits until the execution has ended, and answers its record.
export async function ended(id, agent = "demo") {
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until) {
    const record = await api("GET", `/api/agents/${agent}/executions/${id}`);
    if (["completed", "failed", "cancelled"].includes(record.status)) return record;
    await new Promise((done) => setTimeout(done, 30));
  }
  throw new Error(`${id} does not end`);
}

/// Refuses a page that breaks a rule of accessibility.
export async function accessible(page, name) {
  const session = await page.context().newCDPSession(page);
  const expression = `${axe};axe.run(document,{runOnly:${JSON.stringify(RULES)}}).then((found) => JSON.stringify(found.violations
    .map((one) => one.id + ": " + one.nodes.map((node) => node.html.slice(0, 200)).join(" | "))))`;
  const answer = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  await session.detach();
  const violations = JSON.parse(answer.result.value ?? "[\"axe did not run\"]");
  expect(violations.length === 0, `${name} has no violation: ${violations.join("\n")}`);
}

/// The page as it is looked at: in both themes, at a desk and on a phone.
export async function looks(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    for (const size of [DESK, PHONE]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize(size);
      await accessible(page, `${name}, ${colorScheme}, ${size.width} wide`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide <= 0, `${name} at ${size.width} is not wider than its window, by ${wide}`);
      if (process.env.PAGE_SHOTS) await page.screenshot({ path: `${process.env.PAGE_SHOTS}/${name}-${size.width}-${colorScheme}.png` });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(DESK);
}

async function signedIn(browser, options) {
  const context = await browser.newContext({ viewport: DESK, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  await context.route("**/*", (route) => {
    const asked = new URL(route.request().url());
    if (asked.origin === url || ["data:", "blob:", "about:"].includes(asked.protocol)) return route.continue();
    wrong.push(`asked another host: ${asked}`);
    return route.abort();
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => wrong.push(`a script failed: ${error.stack}`));
  page.on("console", (said) => {
    // Of an answer that is an error, and of a server that is gone, the page itself tells.
    if (said.type() === "error" && !/^Failed to load resource|ERR_CONNECTION_REFUSED/.test(said.text())) wrong.push(said.text());
  });
  await context.request.post(`${url}/api/sign-in`, { data: { key }, headers: { origin: url } });
  return { context, page, wrong };
}

/// Tells the stories one after the other, each with a browser's window of its own.
export async function stories(all) {
  const only = process.argv[2];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  let failed = 0;
  for (const [name, story] of Object.entries(all)) {
    if (only && !name.includes(only)) continue;
    const { context, page, wrong } = await signedIn(browser, story.options);
    try {
      await story({ page, context, browser });
      expect(wrong.length === 0, wrong.join("\n"));
      console.log(`ok   ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}\n${error.stack}\n${wrong.join("\n")}\nat ${page.url()}`);
      if (process.env.PAGE_SHOTS) await page.screenshot({ path: `${process.env.PAGE_SHOTS}/failed-${failed}.png` }).catch(() => {});
    } finally {
      await context.close();
    }
  }
  await browser.close();
  process.exitCode = failed ? 1 : 0;
}
