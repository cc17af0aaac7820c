// Chats: what is said and answered, what works in the background, and what comes of it.
import { accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

const EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

/// Opens a chat by the interface, and its page.
async function opened(page, agent = "demo") {
  const { session_id: id } = await api("POST", "/api/sessions", { agent_name: agent });
  await page.goto(`${url}/sessions/${id}`);
  await page.locator('#live[data-state="live"]').waitFor();
  return id;
}

const box = (page) => page.locator("#say-text");
/// The box is empty once the message was taken, which may be after the page shows it.
const taken = (page) => page.waitForFunction(() => document.getElementById("say-text").value === "");
async function typed(page, words) { await box(page).fill(words); await box(page).press("Enter"); }
async function said(page, words) { await typed(page, words); await taken(page); }
async function sentBehind(page, words) {
  await box(page).fill(words);
  await page.getByRole("button", { name: "Send in the background" }).click();
  await taken(page);
}
const answers = (page) => page.locator(".bubble.is-answer").filter({ hasText: "This answer is simulated" });
/// The task of a background card or result.
const results = (page) => page.locator("details.background");

const all = {
  async "a chat is opened, and its answer is seen while it is made"({ page }) {
    await page.goto(`${url}/sessions`);
    await page.getByText("No chats yet").waitFor();
    await accessible(page, "no chats");
    await page.getByText("New chat", { exact: true }).click();
    await page.selectOption("#new-task select[name=agent]", "demo");
    await page.fill("#new-task textarea", "sleep 3 and tell me");
    await page.keyboard.press("Control+Enter");
    await page.waitForURL(/\/sessions\/[0-9a-f-]{36}$/);
    await page.locator("[data-output]").getByText("Simulated work: second 1 of 3.").waitFor();
    await page.locator("#chat-state").getByText("The agent is answering").waitFor();
    await looks(page, "chat-answering");
    await answers(page).waitFor();
    // What was streamed says the same; the whole answer takes its place.
    await page.locator("[data-output]").waitFor({ state: "detached" });
    await page.waitForFunction(() => document.getElementById("chat-state").innerText === "");
  },

  async "Enter sends and Shift+Enter is a new line; what is sent meanwhile waits for its turn"({ page }) {
    await opened(page);
    await said(page, "sleep 2");
    await page.locator("[data-output]").waitFor();
    await box(page).pressSequentially("one");
    await box(page).press("Shift+Enter");
    await box(page).pressSequentially("two");
    await box(page).press("Enter");
    await page.getByText("Another turn is running").waitFor();
    await page.locator("#chat-state").getByText("1 message waits for its turn").waitFor();
    await taken(page);
    expect(await page.evaluate(() => document.activeElement.id) === "say-text", "and keeps the focus");
    await box(page).pressSequentially("a draft");
    await answers(page).nth(1).waitFor();
    expect(await page.locator(".bubble.is-mine").nth(1).innerText() === "one\ntwo", "two lines");
    expect(await box(page).inputValue() === "a draft", "what is being typed stays");
  },

  async "a message is worked on in the background, its progress is seen, and the chat stays free"({ page }) {
    await opened(page);
    await sentBehind(page, "sleep 4 on the side");
    const card = page.locator(".background.is-open");
    await card.getByRole("heading", { name: "Background Task", exact: true }).waitFor();
    await card.getByText(/Step \d+ · Simulated/).waitFor();
    await said(page, "hello meanwhile");
    await answers(page).waitFor();
    await looks(page, "chat-background");
    await page.getByRole("heading", { name: "Background Task Result" }).waitFor();
    const result = results(page);
    expect(await result.getAttribute("open") === null, "closed");
    await result.locator(".preview").getByText("This answer is simulated").waitFor();
    const ground = await result.evaluate((node) => getComputedStyle(node).backgroundColor);
    expect(ground === "rgb(250, 245, 255)", `on purple ground, not ${ground}`);
    await result.locator("summary").focus();
    await page.keyboard.press("Enter");
    await result.getByRole("heading", { name: "Task", exact: true }).waitFor();
    await result.getByText("The agent is told of it with your next message.").waitFor();
    await looks(page, "chat-result");
  },

  async "turns and background tasks are stopped from the chat, and failures are shown as such"({ page }) {
    await opened(page);
    await sentBehind(page, "sleep 300 behind");
    await page.locator(".background.is-open").getByRole("button", { name: "Stop" }).click();
    await results(page).getByText("cancelled", { exact: true }).waitFor();
    await said(page, "sleep 300 in front");
    await page.locator("[data-output]").getByText("Simulated").first().waitFor();
    await page.locator(".chat-turn").getByRole("button", { name: "Stop" }).click();
    await page.locator(".chat-turn").getByText("Stopped before it had ended.").waitFor();
    await sentBehind(page, "fail please");
    await results(page).nth(1).getByText("failed", { exact: true }).waitFor();
    await looks(page, "chat-trouble");
  },

  async "an answer that grows is followed until one scrolls up, and again from its end on"({ page }) {
    await api("POST", "/api/agents", { name: "talker", runtime: "command", command: ["/bin/sh", "-c", "n=0; while [ $n -lt 280 ]; do n=$((n+1)); echo word $n; sleep 0.1; done"] });
    const isAtEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const grown = async (words) => {
      const before = await page.evaluate(() => document.documentElement.scrollHeight);
      await page.waitForFunction((tall) => document.documentElement.scrollHeight > tall + 100, before);
      if (words) await page.waitForFunction(isAtEnd).catch(() => { throw new Error(`not so: ${words}`); });
    };
    /// A key or the wheel scrolls for some frames.
    const still = () => page.waitForFunction(() => {
      globalThis.stillFor = globalThis.was === scrollY ? globalThis.stillFor + 1 : 0;
      globalThis.was = scrollY;
      return globalThis.stillFor > 20;
    });
    const newest = page.locator("#chat-newest");
    await opened(page, "talker");
    await said(page, "talk on");
    await page.locator("[data-output]").getByText("word 40", { exact: true }).waitFor();
    await grown("at its end");
    expect(!await newest.isVisible(), "there is nothing newer");
    await page.mouse.move(700, 300);
    await page.mouse.wheel(0, -300);
    await newest.waitFor();
    await still();
    const there = await page.evaluate(() => scrollY);
    await grown();
    expect(Math.abs(await page.evaluate(() => scrollY) - there) < 2, "the reader was not moved");
    await newest.click();
    await newest.waitFor({ state: "hidden" });
    await grown("at its end again");
    // A little is enough, also by a key.
    await page.locator("#main").focus();
    await page.keyboard.press("ArrowUp");
    await page.waitForFunction(() => innerHeight + scrollY < document.documentElement.scrollHeight - 60);
    await still();
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await newest.waitFor({ state: "hidden" });
    await grown("scrolled back to its end");
    await page.locator(".chat-turn").getByRole("button", { name: "Stop" }).click();
    await page.locator(".chat-turn").getByText("Stopped before it had ended.").waitFor();
  },

  async "an agent calls itself from a chat, and its result comes back there"({ page }) {
    const { writeFileSync } = await import("node:fs");
    const bot = await known("/api/agents/bot");
    await opened(page, "bot");
    await said(page, "background the answer");
    const card = page.locator(".background.is-open");
    await card.getByText("looking for the answer").waitFor();
    writeFileSync(bot.env.GATE, "open");
    await results(page).locator(".preview").getByText("looking for the answer").waitFor();
    await results(page).locator("summary").click();
    await results(page).getByText("found 42 the answer").waitFor();
  },

  async "an execution is continued as a chat"({ page }) {
    const id = await submit("lines 1");
    await ended(id);
    await page.goto(`${url}/agents/demo/executions/${id}`);
    await page.getByRole("button", { name: "Continue as chat" }).click();
    await page.waitForURL(/\/sessions\//);
    await page.getByRole("link", { name: "continues an execution" }).waitFor();
    await said(page, "and then?");
    await answers(page).waitFor();
    await page.getByRole("link", { name: "How it came about" }).click();
    await page.getByRole("link", { name: "Open the chat" }).click();
    await page.waitForURL(/\/sessions\//);
  },

  async "a chat is closed after a second question, and says so"({ page }) {
    await opened(page);
    await page.getByText("Close chat").click();
    await accessible(page, "the question before closing");
    await page.getByRole("button", { name: "Close it" }).click();
    await page.locator(".chat-note").getByText("it takes no more messages").waitFor();
    expect(await box(page).count() === 0, "no box");
    await page.goto(`${url}/sessions?status=closed`);
    expect(await page.locator("#rows tr").count() === 1, "in the list of the closed ones");
    await page.goto(`${url}/sessions`);
    await looks(page, "chats");
  },

  async "what can't be sent says why, and what was typed stays"({ page }) {
    await api("POST", "/api/agents", { name: "gone", runtime: "command", command: ["/bin/echo", "-n"] });
    await opened(page, "gone");
    await api("DELETE", "/api/agents/gone");
    await typed(page, "are you there?");
    await page.getByRole("alert").getByText("agent_retired").waitFor();
    expect(await box(page).inputValue() === "are you there?", "still typed");
    await accessible(page, "a message that was refused");
  },

  async "a chat of somebody else can be read, and not spoken in"({ page }) {
    const { key } = await api("POST", "/api/keys", { name: "ada", role: "user", user: "ada" });
    const answer = await fetch(`${url}/api/sessions`, {
      method: "POST", headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ agent_name: "demo" }),
    });
    const { session_id: id } = await answer.json();
    await page.goto(`${url}/sessions/${id}`);
    await page.getByText("Only ada speaks in this chat.").waitFor();
    expect(await box(page).count() === 0, "no box");
  },

  async "what people and agents write is never run"({ page }) {
    await api("POST", "/api/agents", { name: "parrot", runtime: "command", command: ["/bin/echo", "-n"] });
    await opened(page, "parrot");
    await said(page, EVIL);
    await page.locator(".bubble.is-answer .prose").getByText(EVIL).waitFor();
    await sentBehind(page, EVIL);
    await results(page).locator(".preview").getByText(EVIL).waitFor();
    await page.goto(`${url}/sessions`);
    await page.locator("#rows tr").first().waitFor();
    expect(!(await page.title()).startsWith("taken"), "nothing ran");
  },

  async "of a long chat the newest is shown, and what was before it is one step away"({ page }) {
    await api("POST", "/api/agents", { name: "fast", runtime: "command", command: ["/bin/echo", "-n"] });
    const { session_id: id } = await api("POST", "/api/sessions", { agent_name: "fast" });
    for (let n = 1; n <= 42; n += 1) await api("POST", `/api/sessions/${id}/messages`, { message: `message ${n}.` });
    await page.goto(`${url}/sessions/${id}`);
    await page.locator("#chat-log").getByText("message 42.").first().waitFor();
    await page.waitForFunction(() => scrollY > 0);
    await page.getByRole("link", { name: "Earlier messages" }).click();
    await page.locator("#chat-log").getByText("message 2.").first().waitFor();
    await page.getByRole("link", { name: "Back to the newest" }).click();
    await page.locator("#chat-log").getByText("message 42.").first().waitFor();
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/sessions`);
  await page.locator("#new-task summary").click();
  await page.selectOption("#new-task select[name=agent]", "demo");
  await page.fill("#new-task textarea", "By forms alone");
  await page.getByRole("button", { name: "Open" }).click();
  await page.waitForURL(/\/sessions\/[0-9a-f-]{36}$/);
  const own = page.url();
  const id = own.split("/").pop();
  const settled = async (holds) => {
    const until = Date.now() + 20_000;
    while (!holds(await api("GET", `/api/sessions/${id}`))) {
      expect(Date.now() < until, "in time");
      await new Promise((done) => setTimeout(done, 30));
    }
    await page.goto(own);
  };
  await settled((chat) => chat.entries[0]?.status === "completed");
  await answers(page).waitFor();
  await page.fill("#say-text", "behind the scenes");
  await page.getByRole("button", { name: "Send in the background" }).click();
  await settled((chat) => chat.entries.length === 2);
  await results(page).locator("summary").click();
  await results(page).locator(".background-body").getByText("behind the scenes").waitFor();
  await page.getByText("Close chat").click();
  await page.getByRole("button", { name: "Close it" }).click();
  await page.locator(".chat-note").getByText("it takes no more messages").waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts a chat is opened, held, and closed"] = plain;

await stories(all);
