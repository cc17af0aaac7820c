// Claude Code itself, over a model of the test's own: the agent `coder`, which may run `echo`.
import { accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

const AGENT = "coder";
const settled = (page) => page.waitForSelector('#live[data-state="live"]');
const idOf = (page) => new URL(page.url()).pathname.split("/").pop();
const at = (id) => `${url}/agents/${AGENT}/executions/${id}`;

/// Sends a message by the agent's own page, and goes to its execution.
async function sent(page, message) {
  await page.goto(`${url}/agents/${AGENT}/tasks`);
  await settled(page);
  await page.getByLabel(`What is ${AGENT} to do?`).fill(message);
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#history").getByRole("link", { name: message }).first().click();
  await page.waitForURL(/\/executions\/[0-9a-f-]{36}$/);
  return idOf(page);
}

const all = {
  async "a message is sent by the agent's page, and the run is watched as a conversation with what it cost"({ page }) {
    const id = await sent(page, "[TOOL] say hi by a program");
    const said = page.locator("#transcript .is-said");
    await said.getByText("I will use a tool.").waitFor();
    const call = page.locator("#transcript details.is-call").filter({ hasText: "Bash" });
    await call.locator("summary").getByText("echo hi").waitFor();
    expect(await call.getAttribute("open") === null, "the call is folded");
    const result = page.locator("#transcript details.is-result").first();
    await result.locator("summary").getByText("hi", { exact: true }).waitFor();
    expect(await result.getAttribute("open") === null, "and so is its result");
    await result.locator("summary").click();
    await result.locator("pre").getByText("hi").waitFor();
    await said.getByText("Hello from the fake model. mode=TEXT").waitFor();
    await page.locator("#state").getByText("completed").waitFor();
    await page.locator("#answer").getByText("Hello from the fake model").waitFor();
    expect(await result.getAttribute("open") !== null, "what was unfolded stays so");
    const record = await ended(id, AGENT);
    const facts = page.locator("#facts");
    await facts.getByText(record.model_used).waitFor();
    await facts.getByText("$0.007150000").or(facts.getByText("$0.00715")).first().waitFor();
    await facts.getByText("as the provider reported it").waitFor();
    await facts.getByText(/2\s400 in, 84 out/).waitFor();
    await facts.getByText(record.claude_session_id).waitFor();
    await looks(page, "claude-tool");
  },

  async "a slow answer is stopped in its middle, and SIGINT is seen as it is sent"({ page }) {
    const id = await sent(page, "[SLOW] take your time");
    await page.locator('#transcript-live[data-state="live"]').waitFor();
    await page.locator("#transcript").getByText("Session started with").waitFor();
    // The first words of it have arrived; only then is its middle.
    await page.waitForFunction(async (address) => (await (await fetch(address)).json()).lines.length > 0,
      `/api/agents/${AGENT}/executions/${id}/log?limit=1&contains=${encodeURIComponent('"text":"w1 "')}`);
    // What is shown while it is stopped is gone soon: it is remembered as it comes.
    await page.evaluate(() => {
      globalThis.stepsSeen = [];
      const look = () => { const text = document.querySelector("#state .steps")?.textContent; if (text && !globalThis.stepsSeen.includes(text)) globalThis.stepsSeen.push(text); };
      new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
    });
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#happened").getByText("SIGINT sent").waitFor();
    await page.locator("#state").getByText("cancelled").waitFor();
    const steps = await page.evaluate(() => globalThis.stepsSeen);
    expect(steps.length === 0 || steps.some((step) => step.includes("Stop asked for")), `the steps are shown: ${steps}`);
    expect(await page.locator("#happened").getByText("SIGKILL").count() === 0, "it heeds SIGINT");
    await page.locator('#transcript-live[data-state="ended"]').waitFor();
    await accessible(page, "a stopped run of Claude Code");
  },

  async "it is continued as a chat that remembers it, run again, and made repeatable"({ page }) {
    const id = await sent(page, "[TEXT] remember the number 7");
    const first = await ended(id, AGENT);
    await page.goto(at(id));
    await page.getByRole("button", { name: "Continue as chat" }).click();
    await page.waitForURL(/\/sessions\/[0-9a-f-]{36}$/);
    await page.locator("#say-text").fill("[TEXT] which number was it?");
    await page.locator("#say-text").press("Enter");
    // The model counts the messages that it is sent: more than one, where the session is resumed.
    await page.locator(".bubble.is-answer").getByText(/mode=TEXT messages=[3-9]/).waitFor();
    const { entries } = await known(`/api/sessions/${idOf(page)}`);
    expect(entries[0].agent_session_id === first.agent_session_id, "the same session of Claude Code");
    await page.goto(at(id));
    await page.getByRole("button", { name: "Run again" }).click();
    await page.waitForURL((now) => /\/executions\//.test(now.pathname) && !now.pathname.endsWith(id));
    const again = await ended(idOf(page), AGENT);
    expect(again.retry_of === id && again.message === first.message, "the same task once more");
    await page.goto(at(id));
    await page.getByRole("link", { name: "Make repeatable" }).click();
    await page.waitForURL(/\/schedules\/new/);
    await page.fill("input[name=cron]", "0 9 * * MON");
    await page.getByRole("button", { name: "Create" }).click();
    await page.waitForURL(/\/schedules\/[0-9a-f-]{36}$/);
    await page.locator("#schedule-facts").getByText("remember the number 7").waitFor();
  },

  async "its Markdown is shown as it is meant, or letter by letter, and runs and fetches nothing"({ page }) {
    const id = await submit("[MARKDOWN] report", { agent: AGENT });
    const record = await ended(id, AGENT);
    await page.goto(at(id));
    await settled(page);
    for (const part of [page.locator("#answer"), page.locator("#transcript .is-said").first()]) {
      await part.getByRole("heading", { name: "What I found" }).waitFor();
      expect(await part.locator("ol > li").count() === 2 && await part.locator("th").count() === 3 && await part.locator("pre code").count() === 1, "a list, a table, code");
      const link = part.getByRole("link", { name: "the book" });
      expect(await link.getAttribute("href") === "https://doc.example.org/book" && /noopener/.test(await link.getAttribute("rel")), "a link of the web");
      expect(await part.getByRole("link", { name: "this", exact: true }).count() === 0, "a script is no link");
      expect(await part.locator("img").count() === 0, "no picture is fetched");
      await part.getByText('<img src=x onerror="document.title').waitFor();
    }
    await looks(page, "claude-markdown");
    await page.locator("#answer").getByRole("link", { name: "Plain text" }).click();
    await page.locator("#answer .prose").getByText("## What I found").waitFor();
    expect(new URL(page.url()).search === "", "the address says nothing of it");
    expect((await page.locator("#answer .prose").textContent()) === record.response, "letter by letter");
    await page.locator("#transcript .is-said").first().getByText("## What I found").waitFor();
    await accessible(page, "plain text");
    await page.locator("#transcript").getByRole("link", { name: "Formatted" }).click();
    await page.locator("#answer").getByRole("heading", { name: "What I found" }).waitFor();
    const { session_id: chat } = await api("POST", "/api/sessions", { agent_name: AGENT });
    await api("POST", `/api/sessions/${chat}/messages`, { message: "[MARKDOWN] say it here" });
    await page.goto(`${url}/sessions/${chat}`);
    await settled(page);
    await page.locator(".bubble.is-answer").getByRole("heading", { name: "What I found" }).waitFor();
    await looks(page, "chat-markdown");
    expect(!(await page.title()).startsWith("taken"), "nothing ran");
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/agents/${AGENT}/tasks`);
  await page.getByLabel(`What is ${AGENT} to do?`).fill("[MARKDOWN] without scripts");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#history").getByText("[MARKDOWN] without scripts").first().waitFor();
  const { executions } = await known(`/api/agents/${AGENT}/executions?limit=1`);
  await ended(executions[0].execution_id, AGENT);
  await page.goto(at(executions[0].execution_id));
  await page.locator("#answer").getByRole("heading", { name: "What I found" }).waitFor();
  await page.locator("#answer").getByRole("link", { name: "Plain text" }).click();
  await page.locator("#answer .prose").getByText("## What I found").waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts its Markdown is read, and chosen to be shown letter by letter"] = plain;

await stories(all);
