// What holds on every page: keys and palette, forms that are sent twice, what others change meanwhile, scripts
// that never come, and what each role finds.
import { PHONE, accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

const settled = (page) => page.waitForSelector('#live[data-state="live"]');
const ROLES = ["admin", "operator", "auditor", "billing", "user"];

async function signedInAs(context, role) {
  const { key } = await api("POST", "/api/keys", { name: `the-${role}`, role });
  await context.clearCookies();
  await context.request.post(`${url}/api/sign-in`, { data: { key }, headers: { origin: url } });
}

async function offered(page, words, name) {
  await page.keyboard.press("Control+k");
  await page.fill("#palette-text", words);
  await page.getByRole("option", { name }).first().waitFor();
}

const all = {
  async "the palette and a letter after g reach every page of the navigation, and the sheet tells which"({ page }) {
    await page.goto(url);
    await settled(page);
    const places = await page.locator("#places a[data-letter]").evaluateAll((links) => links.map((link) => [link.dataset.letter, link.pathname, link.querySelector("span").textContent]));
    expect(places.length >= 9, `nine places at least: ${places.length}`);
    await page.keyboard.press("?");
    const told = await page.locator("#help-sheet dt").allTextContents();
    for (const [letter] of places) expect(told.includes(`g ${letter}`), `the sheet tells of g ${letter}`);
    await looks(page, "help-sheet");
    await page.getByRole("button", { name: "Close" }).click();
    for (const [letter, path] of places.toReversed()) {
      await page.keyboard.press("g");
      await page.keyboard.press(letter);
      await page.waitForURL(url + path);
      await page.locator(`#places a[data-letter="${letter}"][aria-current]`).waitFor();
    }
    for (const [, path, name] of places.slice(1)) {
      await offered(page, name, new RegExp(`^${name}`));
      if (path === "/costs") await looks(page, "palette");
      await page.keyboard.press("Enter");
      await page.waitForURL(url + path);
    }
  },

  async "the palette gives an agent a task, stops a run, and pauses and resumes an agent"({ page }) {
    await api("POST", "/api/agents", { name: "palette-agent", runtime: "demo" });
    const id = await submit("sleep 300 for the palette", { agent: "palette-agent" });
    await page.goto(`${url}/costs`);
    await settled(page);
    await offered(page, "stop palette", /Stop sleep 300/);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${url}/agents/palette-agent/executions/${id}`);
    expect((await ended(id, "palette-agent")).status === "cancelled", "stopped");
    await offered(page, "pause palette-agent", "Pause palette-agent");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${url}/agents/palette-agent`);
    await page.locator("#agent-head").getByText("paused").waitFor();
    await offered(page, "resume palette-agent", "Resume palette-agent");
    await page.keyboard.press("Enter");
    await page.locator("#agent-head").getByText("active").waitFor();
    await offered(page, "task palette-agent", "New task for palette-agent");
    await page.keyboard.press("Enter");
    await page.locator("#task-message:focus").waitFor();
  },

  async "a form that is sent twice does once what it says, and the next one with the same words is another"({ page }) {
    const count = async (words) => (await known(`/api/executions?q=${encodeURIComponent(words)}`)).executions.length;
    await page.goto(url);
    const once = await page.locator("#new-task input[name=once]").getAttribute("value");
    const form = { agent: "demo", message: "Sendtwice please", once };
    for (let n = 0; n < 2; n += 1) await page.request.post(`${url}/tasks`, { form, headers: { origin: url }, maxRedirects: 0 });
    expect(await count("Sendtwice") === 1, "one execution of the two");
    await page.request.post(`${url}/tasks`, { form: { ...form, message: "Sendtwice otherwise" }, headers: { origin: url }, maxRedirects: 0 });
    expect(await count("Sendtwice") === 2, "another text is another task");
    await page.goto(`${url}/agents/demo/tasks`);
    await settled(page);
    for (let n = 1; n <= 2; n += 1) {
      await page.fill("#task-message", "Doubleclicked task");
      await page.getByRole("button", { name: "Send" }).dblclick();
      await page.waitForFunction(() => document.getElementById("task-message").value === "");
      expect(await count("Doubleclicked") === n, `${n} after being sent ${n} times`);
    }
    const { session_id: chat } = await api("POST", "/api/sessions", { agent_name: "demo" });
    await page.goto(`${url}/sessions/${chat}`);
    await settled(page);
    for (let n = 1; n <= 2; n += 1) {
      await page.locator("#say-text").fill("yes");
      await page.locator("#say-text").press("Enter");
      await page.waitForFunction((turns) => document.querySelectorAll(".chat-turn").length === turns, n);
    }
  },

  async "a turn of a chat is run again as a task of its own"({ page }) {
    const { session_id: chat } = await api("POST", "/api/sessions", { agent_name: "demo" });
    const turn = await api("POST", `/api/sessions/${chat}/messages`, { message: "Say it in a chat first" });
    await page.goto(`${url}/agents/demo/tasks`);
    await settled(page);
    await page.locator(`#x-${turn.execution_id}`).getByRole("button", { name: "Run again" }).click();
    await page.locator("#rows > li").filter({ hasText: "Say it in a chat first" }).nth(1).waitFor();
  },

  async "what others change is seen at once: agents, schedules, what waits"({ page }) {
    await api("POST", "/api/agents", { name: "others", runtime: "demo", max_parallel_tasks: 1 });
    await page.goto(`${url}/agents/others`);
    await settled(page);
    await api("POST", "/api/agents/others/pause", {});
    await page.locator("#agent-head").getByText("paused").waitFor();
    const waits = await submit("Waits for its agent", { agent: "others" });
    await page.locator(`#queued-${waits}`).waitFor();
    await api("POST", "/api/agents/others/resume", {});
    await page.locator("#agent-head").getByText("active").waitFor();
    await ended(waits, "others");
    const made = await api("POST", "/api/schedules", { agent_name: "others", message: "Now and then", name: "Now and then", cron: "0 9 * * *" });
    await page.goto(`${url}/schedules/${made.schedule_id}`);
    await settled(page);
    await api("POST", `/api/schedules/${made.schedule_id}/disable`, {});
    await page.locator("#schedule-state").getByText("disabled").waitFor();
    await page.goto(`${url}/agents`);
    await settled(page);
    await api("POST", "/api/agents", { name: "newcomer", runtime: "demo" });
    await page.locator("#agent-newcomer").waitFor();
  },

  async "tomorrow is a day of the calendar, and not what is a day and a half away"({ page }) {
    // A Saturday evening in Berlin: the Monday morning after it is 35 hours away.
    await page.clock.setFixedTime(new Date("2026-11-21T22:30:00Z"));
    await page.goto(`${url}/costs`);
    await settled(page);
    const times = [["2026-11-23T09:50:00Z", "in 2 days"], ["2026-11-22T22:50:00Z", "tomorrow"], ["2026-11-20T21:00:00Z", "yesterday"],
      ["2026-11-20T09:00:00Z", "yesterday"], ["2026-11-21T10:30:00Z", "12 hr. ago"], ["2026-12-28T09:00:00Z", "in 1 mo."]];
    await page.evaluate((all) => {
      for (const [at] of all) {
        const time = Object.assign(document.createElement("time"), { dateTime: at, className: "put-here" });
        document.querySelector("main").append(time);
      }
    }, times);
    await page.waitForFunction(() => document.querySelector("time.put-here:last-of-type").textContent);
    const told = await page.locator("time.put-here").allTextContents();
    times.forEach(([at, words], n) => expect(told[n] === words, `${at} is ${words}: ${told[n]}`));
  },

  async "what was typed and not sent is there again, and gone once it was sent or its writer left"({ page }) {
    const { session_id: chat } = await api("POST", "/api/sessions", { agent_name: "demo" });
    const box = page.locator("#say-text");
    await page.goto(`${url}/sessions/${chat}`);
    await settled(page);
    await box.fill("half a thought");
    await page.reload();
    await settled(page);
    expect(await box.inputValue() === "half a thought", "after a reload");
    await page.locator("#places a[href='/agents']").click();
    await page.waitForURL(`${url}/agents`);
    await page.goBack();
    await box.waitFor();
    expect(await box.inputValue() === "half a thought", "after another page");
    await box.press("Enter");
    await page.locator(".chat-turn").waitFor();
    await page.waitForFunction(() => document.getElementById("say-text").value === "");
    await page.reload();
    await settled(page);
    expect(await box.inputValue() === "", "what was sent is not there again");
    await box.fill("for nobody else");
    await page.locator("form.leave button").click();
    await page.waitForURL(/sign-in/);
    expect(await page.evaluate(() => Object.keys(sessionStorage).filter((key) => key.startsWith("draft ")).length) === 0, "nothing is left for the next one");
  },

  async "what was typed is its writer's alone, also where somebody else signs in without their leaving"({ page, context }) {
    const box = page.locator("#task-message");
    await page.goto(`${url}/agents/demo/tasks`);
    await settled(page);
    await box.fill("for my eyes alone");
    await page.reload();
    await settled(page);
    expect(await box.inputValue() === "for my eyes alone", "it is kept");
    const { key } = await api("POST", "/api/keys", { name: "olga", role: "operator", user: "olga" });
    await context.clearCookies();
    await context.request.post(`${url}/api/sign-in`, { data: { key }, headers: { origin: url } });
    // By a link of the page that the other one has left: it is another page altogether.
    await page.locator("#places a[href='/agents']").click();
    await page.waitForURL(`${url}/agents`);
    await page.locator("body[data-user='olga']").waitFor();
    await page.goto(`${url}/agents/demo/tasks`);
    await settled(page);
    expect(await box.inputValue() === "", "it is not shown to the next one");
    expect(!await page.evaluate(() => JSON.stringify({ ...sessionStorage }).includes("my eyes")), "and not kept for them either");
  },

  async "who comes back to a list is where they left it"({ page }) {
    const ids = [];
    for (let n = 0; n < 40; n += 1) ids.push(await submit(`Long list ${n}`));
    // One that goes on is followed, and is shown from its end.
    for (const id of ids) await ended(id);
    await page.goto(url);
    await settled(page);
    const row = page.locator(`#x-${ids[9]}`);
    await row.scrollIntoViewIfNeeded();
    const left = await page.evaluate(() => scrollY);
    expect(left > 300, `scrolled down: ${left}`);
    await row.locator("a").first().click();
    await page.waitForURL(/\/executions\//);
    expect(await page.evaluate(() => scrollY) === 0, "a new page begins at its head");
    await page.goBack();
    await page.locator("table.executions").waitFor();
    await page.waitForFunction((to) => Math.abs(scrollY - to) < 5, left);
  },

  async "the proof mark follows once the events are covered by a checkpoint"({ page }) {
    const id = await submit("To be covered");
    await ended(id);
    await page.goto(`${url}/agents/demo/executions/${id}`);
    await page.locator(".proof-mark.is-covered").getByRole("link", { name: "proof" }).waitFor({ timeout: 60_000 });
  },

  async "where scripts don't come, every page is read and the forms are sent"({ page, context }) {
    await context.route("**/assets/**/*.js", (route) => route.abort());
    const id = await submit("Read without scripts");
    await ended(id);
    await page.goto(url);
    const paths = await page.locator("#places a[data-letter]").evaluateAll((links) => links.map((link) => link.pathname));
    for (const path of [...paths, `/agents/demo/executions/${id}`, `/agents/demo/executions/${id}/raw`, "/agents/demo", "/agents/demo/tasks", "/agents/demo/schedules", "/agents/demo/settings", "/schedules/new", "/audit/evidence", "/audit/facts"]) {
      const answer = await page.goto(url + path);
      expect(answer.ok(), `${path} is there: ${answer.status()}`);
      await page.locator("main h1").first().waitFor();
      const idle = await page.locator("main .by-script").filter({ visible: true }).count();
      expect(idle === 0, `no button at ${path} that does nothing`);
    }
    await page.goto(`${url}/agents/demo/tasks`);
    await page.fill("#task-message", "Sent without scripts");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator("#rows > li").filter({ hasText: "Sent without scripts" }).waitFor();
    await page.goto(`${url}/agents/demo/executions/${id}`);
    await page.getByRole("button", { name: "Run again" }).click();
    await page.waitForURL((now) => /\/executions\//.test(now.pathname) && !now.pathname.endsWith(id));
    await page.locator("#live").getByText("Not live").waitFor();
  },

  async "only some of the scripts come: no button is shown that does nothing"({ page, context }) {
    await context.route("**/assets/**/live.js", (route) => route.abort());
    await page.goto(`${url}/agents/demo/tasks`);
    await page.waitForFunction(() => !("scripts" in document.documentElement.dataset));
    expect(await page.locator("main .by-script").filter({ visible: true }).count() === 0, "none");
  },
};

all["tomorrow is a day of the calendar, and not what is a day and a half away"].options = { timezoneId: "Europe/Berlin" };

/// What is no page, no execution, no number.
const NONSENSE = ["/agents/UPPER%20CASE", "/agents/demo/executions/nonsense", "/agents/demo/executions/0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b",
  "/?limit=0", "/?cursor=nonsense", "/?from=yesterday", "/sessions/nonsense", "/schedules/nonsense", "/audit?at=nonsense", "/audit?time=nonsense", "/costs?from=x&to=y",
  "/timeline?range=never", "/activity?cursor=%00", "/executions/bulk?do=stop&id=%2F%2F", "/agents/demo/tasks?cursor=%FF", "/nothing/at/all"];

for (const role of ROLES) {
  all[`a reader of the role ${role} finds every page that the navigation names, and words where something is not theirs`] = async ({ page, context }) => {
    await signedInAs(context, role);
    const first = await page.goto(`${url}/costs`);
    expect(first.ok(), "costs are for all");
    // Billing may not watch, and is not told that it does, or that the ledger were gone.
    if (role === "billing") await page.locator("#live").getByText("Not live").waitFor(); else await settled(page);
    const paths = await page.locator("#places a[data-letter]").evaluateAll((links) => links.map((link) => link.pathname));
    for (const path of paths) {
      const answer = await page.goto(url + path);
      expect(answer.ok(), `${path} is ${answer.status()}`);
      await page.locator("main h1").first().waitFor();
      const name = `role-${role}${path.replaceAll("/", "-")}`;
      if (process.env.PAGE_SHOTS) await looks(page, name); else {
        await page.setViewportSize(PHONE);
        await accessible(page, name);
      }
    }
    if (role !== "admin") {
      // What comes of it in a browser is seen once; that it is a page for every role, by its text.
      for (const path of ["/", "/agents", "/keys", "/audit", "/schedules", "/webhooks", "/payments", ...NONSENSE]) {
        const answer = await page.request.get(url + path, { headers: { accept: "text/html" } });
        expect(answer.status() < 500, `${path} is ${answer.status()}`);
        const text = await answer.text();
        expect(/<h1[ >]/.test(text) && /id="?places/.test(text), `${path} is a page`);
      }
      return;
    }
    for (const path of NONSENSE) {
      const answer = await page.goto(url + path);
      expect(answer.status() < 500, `${path} is ${answer.status()}`);
      expect(await page.locator("h1").count() > 0 && await page.locator("#places").count() > 0, `${path} is a page`);
    }
  };
}

await stories(all);
