// The agents: all of them, and what is done with each.
import { accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

const EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }

/// An agent of its own for a story, with so many slots.
async function agent(name, settings = {}) {
  await api("POST", "/api/agents", { name, runtime: "demo", max_parallel_tasks: 1, ...settings });
}

const all = {
  async "an administrator registers a command, and what was wrong keeps what was typed"({ page }) {
    await page.goto(url);
    await settled(page);
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.waitForURL(`${url}/agents`);
    await page.getByRole("link", { name: "Register an agent" }).click();
    await page.waitForURL(`${url}/register-agent`);
    await looks(page, "register-agent");
    await page.fill("#name", "greeter");
    await page.fill("#command", "relative/path\nwith  two spaces");
    await page.fill("#cwd", "not/absolute");
    await page.getByRole("button", { name: "Register" }).click();
    await page.getByRole("alert").waitFor();
    await accessible(page, "a refused agent");
    expect(await page.inputValue("#command") === "relative/path\nwith  two spaces", "kept what was typed");
    await page.fill("#cwd", "");
    await page.fill("#command", "/bin/echo\nhello from");
    await page.getByRole("button", { name: "Register" }).click();
    await page.waitForURL(`${url}/agents/greeter/tasks`);
    await page.getByText("No tasks yet").waitFor();
    await accessible(page, "an agent without tasks");
    await page.getByLabel("What is greeter to do?").fill("two  words");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText("hello from two words").waitFor();
  },

  async "tasks are sent one after the other by keyboard, and what comes of them appears by itself"({ page }) {
    await agent("writer", { models: ["demo-large", "demo-small"], max_parallel_tasks: 2 });
    await page.goto(`${url}/agents/writer`);
    await settled(page);
    await page.keyboard.press("n");
    await page.waitForURL(`${url}/agents/writer/tasks`);
    await page.locator("#task-message:focus").waitFor();
    await page.selectOption("select[name=model]", "demo-small");
    await page.keyboard.type("sleep 2 and draft an introduction");
    await page.keyboard.press("Control+Enter");
    await page.locator("#history").getByText("draft an introduction").waitFor();
    await page.locator("#history .live").getByText("Live").waitFor();
    // The list may show it before the form has its answer: then the box is empty for the next one.
    await page.waitForFunction(() => document.getElementById("task-message").value === "");
    expect(await page.evaluate(() => document.activeElement.id) === "task-message", "and still has the focus");
    await page.keyboard.type("Summarise the week");
    await page.keyboard.press("Control+Enter");
    await page.locator("#history li", { hasText: "Summarise the week" }).getByText("This answer is simulated").waitFor();
    await page.waitForFunction(() => document.getElementById("task-message").value === "");
    await page.keyboard.type("half a thou");
    await page.locator("#history li", { hasText: "draft an introduction" }).getByText("completed").waitFor();
    expect(await page.inputValue("#task-message") === "half a thou", "what is being typed is left alone");
    const { executions } = await known("/api/agents/writer/executions");
    expect(executions.at(-1).model_requested === "demo-small", "with the model that was chosen");
    await page.fill("#task-message", "");
    await ended(await submit("fail on purpose", { agent: "writer" }), "writer");
    const running = await submit("sleep 60 in the background", { agent: "writer" });
    await page.locator(`#x-${running} .live`).waitFor();
    await looks(page, "agent-tasks");
    await page.locator(`#x-${running}`).getByRole("button", { name: "Stop" }).click();
    await page.locator(`#x-${running}`).getByText("cancelled").waitFor();
    expect(page.url() === `${url}/agents/writer/tasks`, "and one stays where one was");
  },

  async "a task is run again, copied, and made repeatable"({ page, context }) {
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    await agent("again");
    const first = await submit("Count the commits\nof last week", { agent: "again" });
    await ended(first, "again");
    await page.goto(`${url}/agents/again/tasks`);
    await settled(page);
    await page.getByRole("button", { name: "Copy message" }).click();
    await page.getByText("The message is copied").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText()) === "Count the commits\nof last week", "all of it");
    const repeat = await page.getByRole("link", { name: "Make repeatable" }).getAttribute("href");
    expect(repeat === `/schedules/new?execution=${first}&agent=again`, "leads to the form of schedules");
    await page.getByRole("button", { name: "Run again" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#rows > li").length === 2);
    const { executions } = await known("/api/agents/again/executions");
    expect(executions[0].retry_of === first, "as another attempt");
  },

  async "a task beyond the agent's limits is refused with what was typed still there"({ page }) {
    await agent("narrow", { timeout_s: 60 });
    await page.goto(`${url}/agents/narrow/tasks`);
    await settled(page);
    await page.fill("#task-message", "Too long");
    await page.getByText("Limits", { exact: true }).click();
    // As a browser would that knows no limits.
    await page.locator("input[name=timeout_s]").evaluate((field) => field.removeAttribute("max"));
    await page.fill("input[name=timeout_s]", "4000");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.inputValue("#task-message") === "Too long", "the message is still there");
    await accessible(page, "a refused task");
  },

  async "slots and queue are seen, the queue is changed, and its agent paused and resumed"({ page }) {
    await agent("busy", { max_parallel_tasks: 2, queue_limit: 10 });
    const running = [await submit("sleep 120 on the quarterly report", { agent: "busy" }), await submit("sleep 121 on the translation", { agent: "busy" })];
    const waits = [];
    for (const task of ["Check the links", "Tidy the changelog", "Look at the flaky test"]) waits.push(await submit(task, { agent: "busy" }));
    await page.goto(`${url}/agents/busy`);
    await settled(page);
    for (const id of running) await page.locator(`#slot-${id}`).waitFor();
    await page.locator(`#queued-${waits[0]}`).getByText("next, as soon as a slot is free").waitFor();
    await page.locator(`#queued-${waits[2]}`).getByText("others are before it").waitFor();
    await looks(page, "agent");
    await page.locator(`#queued-${waits[2]}`).getByRole("button", { name: "To the front" }).click();
    await page.waitForFunction((id) => document.querySelector("#queue li").id === `queued-${id}`, waits[2]);
    await page.locator(`#queued-${waits[0]}`).getByRole("button", { name: "Cancel" }).click();
    await page.locator(`#queued-${waits[0]}`).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("#agent-head").getByText("paused").waitFor();
    await page.locator(`#queued-${waits[2]}`).getByText("the agent is paused").waitFor();
    await accessible(page, "a paused agent");
    await page.locator(`#slot-${running[0]}`).getByRole("button", { name: "Stop" }).click();
    await page.locator(`#slot-${running[0]}`).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Resume" }).click();
    await page.locator("#agent-head").getByText("active").waitFor();
    await ended(waits[2], "busy");
    await page.goto(`${url}/agents`);
    await settled(page);
    await page.locator("#agent-busy").getByText("1 taken of 2").waitFor();
    await looks(page, "agents");
    await api("POST", `/api/agents/busy/executions/${running[1]}/terminate`);
    await page.locator("#agent-busy").getByText("0 taken of 2").waitFor();
  },

  async "settings are read and changed, and what others changed meanwhile is kept"({ page }) {
    await api("POST", "/api/agents", {
      name: "tuned", runtime: "command", command: ["/bin/sh", "-c", "sleep 1"], env: { LANG: "C.UTF-8" },
      env_from: { API_KEY: { file: "/run/secrets/api-key" } }, models: ["one", "two"], max_cost_usd: 1.5,
    });
    await page.goto(`${url}/agents/tuned/settings`);
    await settled(page);
    await page.getByText("/run/secrets/api-key").waitFor();
    await looks(page, "agent-settings");
    await api("PUT", "/api/agents/tuned", { queue_limit: 7 });
    await page.getByLabel("Slots").fill("5");
    await page.getByLabel("Cost of a run at most, $").fill("");
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForFunction(() => document.querySelector("#set-queue_limit").value === "7");
    const now = await known("/api/agents/tuned");
    expect(now.max_parallel_tasks === 5 && now.queue_limit === 7 && now.max_cost_usd === null, JSON.stringify(now));
    await page.locator("#set-grace_s").evaluate((field) => field.removeAttribute("max"));
    await page.fill("#set-grace_s", "301");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.inputValue("#set-grace_s") === "301", "what was typed is still there");
    await accessible(page, "refused settings");
  },

  async "among many agents one is found by a part of its name, and those that need somebody by their state"({ page }) {
    for (let n = 0; n < 9; n += 1) await api("POST", "/api/agents", { name: `fleet-${n}`, runtime: "demo" });
    await api("POST", "/api/agents/fleet-3/pause", {});
    await page.goto(`${url}/agents`);
    await settled(page);
    await page.fill("#search", "Fleet-7");
    await page.waitForURL(/q=Fleet-7/);
    await page.waitForFunction(() => document.querySelectorAll(".agents tbody tr").length === 1);
    await page.locator("#agent-fleet-7").waitFor();
    await page.fill("#search", "fleet");
    await page.waitForFunction(() => document.querySelectorAll(".agents tbody tr").length === 9);
    await page.getByLabel("State").selectOption("paused");
    await page.waitForURL(/state=paused/);
    await page.waitForFunction(() => document.querySelectorAll(".agents tbody tr").length === 1);
    await page.locator("#agent-fleet-3").waitFor();
    await looks(page, "agents-chosen");
    await page.fill("#search", "no such name");
    await page.getByText("No agent fits these filters.").waitFor();
    await page.getByRole("link", { name: "Clear the filters" }).click();
    await page.locator("#agent-fleet-0").waitFor();
    await page.goBack();
    await page.getByText("No agent fits these filters.").waitFor();
  },

  async "an agent is retired after a question that says what will happen"({ page }) {
    await agent("leaving");
    const running = await submit("sleep 300", { agent: "leaving" });
    const waiting = await submit("Never to start", { agent: "leaving" });
    await page.goto(`${url}/agents/leaving`);
    await settled(page);
    await page.locator(`#queued-${waiting}`).waitFor();
    await page.getByRole("link", { name: "Retire…" }).click();
    await page.waitForURL(`${url}/agents/leaving/retire`);
    await page.getByText("1 waiting").waitFor();
    await looks(page, "agent-retire");
    await page.getByRole("link", { name: "Keep it" }).click();
    await page.waitForURL(`${url}/agents/leaving`);
    await page.getByRole("link", { name: "Retire…" }).click();
    await page.getByRole("button", { name: "Retire leaving" }).click();
    await page.waitForURL(`${url}/agents/leaving`);
    await page.locator("#agent-head").getByText("retired").waitFor();
    expect((await ended(waiting, "leaving")).status === "cancelled", "what waited is cancelled");
    await api("POST", `/api/agents/leaving/executions/${running}/terminate`);
    await page.goto(`${url}/agents`);
    expect(await page.locator("#agent-leaving").count() === 0, "not among those at work");
    await page.getByRole("link", { name: /retired agent/ }).click();
    await page.locator("#agent-leaving").waitFor();
  },

  async "the schedules of an agent stand with it"({ page }) {
    await agent("clockwork");
    await page.goto(`${url}/agents/clockwork/schedules`);
    await settled(page);
    await page.getByText("Nothing is scheduled").waitFor();
    await accessible(page, "an agent without schedules");
    await api("POST", "/api/schedules", { agent_name: "clockwork", message: EVIL, cron: "30 2 * * MON-FRI", timezone: "Europe/Berlin" });
    await api("POST", "/api/schedules", { agent_name: "clockwork", name: "Weekly report", message: "Report", cron: "0 9 * * MON", enabled: false });
    await page.reload();
    await page.getByText("30 2 * * MON-FRI").waitFor();
    await page.getByRole("cell", { name: "disabled" }).waitFor();
    await looks(page, "agent-schedules");
  },

  async "whoever may only read sees no way to change"({ page, context }) {
    const { key } = await api("POST", "/api/keys", { name: "ada", role: "auditor" });
    await context.clearCookies();
    await context.request.post(`${url}/api/sign-in`, { data: { key }, headers: { origin: url } });
    for (const address of ["/agents", "/agents/demo", "/agents/demo/tasks", "/agents/demo/settings"]) {
      await page.goto(url + address);
      await settled(page);
      expect(await page.locator("main form[method=post], main .is-danger").count() === 0, `nothing to send at ${address}`);
    }
    await page.goto(`${url}/agents/nobody`);
    await page.getByText("no agent").first().waitFor();
  },
};

const plain = async ({ page }) => {
  await agent("plain");
  await page.goto(`${url}/agents/plain/tasks`);
  await page.getByLabel("What is plain to do?").fill("By a form alone");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForURL(`${url}/agents/plain/tasks`);
  await page.locator("#rows > li").filter({ hasText: "By a form alone" }).waitFor();
  expect(await page.locator("#rows > li").count() === 1, "it is among the tasks at once");
  expect(await page.getByRole("button", { name: "Copy message" }).count() === 0, "no button that does nothing");
  await page.getByRole("link", { name: "Overview" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator("#agent-head").getByText("active").waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts tasks are given and agents are steered"] = plain;

await stories(all);
