// Many executions at once, texts of every kind, long transcripts, stops that take their time.
import { accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }

/// An agent that is a shell script; the task is its first argument.
async function register(name, script, more = {}) {
  await api("POST", "/api/agents", { name, runtime: "command", command: ["/bin/sh", "-c", script, "sh"], ...more });
}

async function visible(page, address) {
  await page.goto(url + address);
  await settled(page);
}

const all = {
  async "chosen executions are stopped after a preview that says what will happen"({ page }) {
    const running = await submit("sleep 300 one of two");
    const done = await submit("Already over");
    await ended(done);
    await visible(page, "/");
    await page.locator(`#x-${running} .pick`).check();
    await page.locator(`#x-${done} .pick`).check();
    await page.getByText("2 chosen").waitFor();
    await looks(page, "chosen");
    // What was chosen stays so while the list follows.
    await ended(await submit("Something else"));
    expect(await page.locator(`#x-${running} .pick`).isChecked(), "still chosen");
    await page.getByRole("button", { name: "Stop…" }).click();
    await page.getByText("1 are left as they are").waitFor();
    await page.getByText("has ended").waitFor();
    await looks(page, "bulk-preview");
    await page.getByRole("button", { name: "Stop 1" }).click();
    await page.getByRole("heading", { name: "Stopped: 1" }).waitFor();
    expect((await ended(running)).status === "cancelled", "it was stopped");
  },

  async "all that match the filters are tried again, and never more than was shown"({ page }) {
    for (let n = 0; n < 3; n += 1) await ended(await submit(`fail quagmire ${n}`));
    await visible(page, "/?q=quagmire");
    await page.getByRole("link", { name: "retry…" }).click();
    await page.getByRole("button", { name: "Retry 3" }).click();
    await page.getByRole("heading", { name: "Tried again: 3" }).waitFor();
    const { executions } = await known("/api/executions?q=quagmire");
    expect(executions.filter((one) => one.retry_of).length === 3, "each was tried again once");
    await accessible(page, "what was tried again");
  },

  async "texts of every kind are shown harmlessly, and keep the page small"({ page }) {
    await register("texts-with-quite-a-long-name-that-goes-on-and-on-for-a-while", "printf '\\033[31mred\\033[0m \\a %s' \"$1\"", { max_parallel_tasks: 4 });
    const agent = "texts-with-quite-a-long-name-that-goes-on-and-on-for-a-while";
    const texts = ["\u202eesrever\u202c pay\u200bment", "שלום עולם, זו משימה ארוכה", `${"long".repeat(300)} end`, "日本語の仕事".repeat(60)];
    const ids = [];
    for (let n = 0; n < 12; n += 1) for (const text of texts) ids.push(await submit(`${text} ${n}`, { agent }));
    for (const id of ids) await ended(id, agent);
    await visible(page, `/?agent=${agent}`);
    await page.getByText("‹U+202E›esrever").first().waitFor();
    await looks(page, "texts");
    const html = await (await page.request.get(`${url}/?agent=${agent}`)).text();
    expect(Buffer.byteLength(html) < 100 * 1024, `the list is below 100 KB: ${Buffer.byteLength(html)}`);
    await visible(page, `/agents/${agent}/executions/${ids[0]}`);
    await page.locator("#transcript").getByText("red ␇").waitFor();
  },

  async "a run that does not heed SIGINT is seen to get its time and then SIGKILL"({ page }) {
    await register("stubborn", "trap '' INT; echo ready; while :; do sleep 0.2; done", { grace_s: 3 });
    const id = await submit("go on", { agent: "stubborn" });
    await visible(page, `/agents/stubborn/executions/${id}`);
    await page.locator("#transcript").getByText("ready").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("SIGINT sent").first().waitFor();
    await page.locator(".countdown").getByText(/s left/).waitFor();
    await accessible(page, "a run that is being stopped");
    await page.locator("#happened").getByText("SIGKILL sent").waitFor();
    await page.locator("#state").getByText("cancelled").waitFor();
  },

  async "what waits says why, with the way to what keeps it"({ page }) {
    await register("narrow", "sleep 300", { max_parallel_tasks: 1 });
    const first = await submit("holds the slot", { agent: "narrow" });
    const second = await submit("waits for it", { agent: "narrow" });
    await visible(page, `/agents/narrow/executions/${second}`);
    await page.getByText("All slots of its agent are taken").waitFor();
    await page.locator("#state a").click();
    await page.waitForURL((now) => now.pathname.endsWith(first));
    for (const id of [second, first]) await api("POST", `/api/agents/narrow/executions/${id}/terminate`, {});
    await ended(first, "narrow");
  },

  async "a hundred thousand lines are read to their end, searched, and shown raw"({ page }) {
    await register("verbose", "seq -f 'line %.0f of many' 100000; sleep 0.5; echo careful >&2");
    const id = await submit("talk", { agent: "verbose" });
    await ended(id, "verbose");
    const address = `/agents/verbose/executions/${id}`;
    await visible(page, address);
    const began = Date.now();
    await page.locator("#main").focus();
    await page.keyboard.press("End");
    await page.getByText("line 100000 of many").waitFor();
    expect(Date.now() - began < 3000, `the end is there at once: ${Date.now() - began} ms`);
    await page.keyboard.press("/");
    await page.keyboard.type("line 99999 of");
    await page.getByText("1 of 1", { exact: true }).waitFor();
    expect(Date.now() - began < 8000, `found soon: ${Date.now() - began} ms`);
    await page.fill("#transcript-search", "line 5000 of");
    await page.locator("#parts").getByText("line 5000 of many").waitFor();
    await page.getByText(/lines before/).waitFor();
    expect(await page.locator("#parts .part").count() <= 41, "a window of it is in the page");
    await page.goto(`${url}${address}/raw?after_seq=99500`);
    await page.locator("#n100001.is-stderr").waitFor();
    await page.goto(`${url}${address}/raw?q=line+777+of`);
    await page.getByRole("link", { name: "777", exact: true }).click();
    await page.locator("#n777").waitFor();
    await page.goto(`${url}${address}/raw?q=77+of`);
    await looks(page, "raw");
  },

  async "a long run that is opened while it goes on is followed, however many lines it has, until one scrolls up"({ page }) {
    await register("chatty", "seq -f 'line %.0f so far' 1900; n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.1; done", { timeout_s: 120 });
    const following = () => page.evaluate(() => document.getElementById("follow").checked);
    /// Ten more lines are seen to come, at the end, with nobody touching the page.
    const isFollowed = async (how) => {
      await page.waitForFunction(() => document.querySelector("#parts .part:last-child")?.textContent.includes("tick"));
      const last = () => page.evaluate(() => Number([...document.querySelectorAll("#parts .part")].at(-1).dataset.last));
      const until = await last() + 10;
      await page.waitForFunction((seq) => Number([...document.querySelectorAll("#parts .part")].at(-1).dataset.last) >= seq, until);
      expect(await following(), `it is followed, ${how}`);
      await page.waitForFunction(() => innerHeight + scrollY >= document.documentElement.scrollHeight - 2).catch(() => { throw new Error(`not so: it is at its end, ${how}`); });
    };
    for (const size of [{ width: 1440, height: 900 }, { width: 390, height: 844 }]) {
      await page.setViewportSize(size);
      const id = await submit(`talk on at ${size.width}`, { agent: "chatty" });
      await visible(page, "/");
      await page.locator(`#x-${id} a`).first().click();
      await page.waitForURL((now) => now.pathname.endsWith(id));
      await isFollowed(`opened by a click at ${size.width}`);
      await page.reload();
      await isFollowed(`loaded again at ${size.width}`);
      // A little is enough, and by keys as well as by the wheel.
      await page.locator("#main").focus();
      await page.keyboard.press("ArrowUp");
      await page.waitForFunction(() => !document.getElementById("follow").checked);
      await page.keyboard.press("PageUp");
      await page.waitForFunction(() => innerHeight + scrollY < document.documentElement.scrollHeight - 300);
      const tall = await page.evaluate(() => document.documentElement.scrollHeight);
      await page.waitForFunction((before) => document.documentElement.scrollHeight > before, tall);
      expect(!await following(), `it is left alone at ${size.width}`);
      await page.keyboard.press("End");
      await isFollowed(`gone back to its end at ${size.width}`);
      await page.mouse.move(200, 500);
      await page.mouse.wheel(0, -600);
      await page.waitForFunction(() => !document.getElementById("follow").checked);
      await page.locator("#follow").check();
      await isFollowed(`by its box at ${size.width}`);
      await api("POST", `/api/agents/chatty/executions/${id}/terminate`, {});
      await ended(id, "chatty");
    }
  },

  async "a run that says nothing for now is shown from its end too while it is followed"({ page }) {
    await register("silent", "seq -f 'line %.0f before' 300; sleep 300");
    const id = await submit("be still", { agent: "silent" });
    const log = `/api/agents/silent/executions/${id}/log?limit=1&contains=line+300`;
    const until = Date.now() + 20_000;
    while (!(await api("GET", log)).lines.length) { expect(Date.now() < until, "in time"); await new Promise((done) => setTimeout(done, 50)); }
    await visible(page, `/agents/silent/executions/${id}`);
    expect(await page.locator("#follow").isChecked(), "it is followed");
    await page.waitForFunction(() => scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2);
    await api("POST", `/api/agents/silent/executions/${id}/terminate`, {});
    await ended(id, "silent");
  },

  async "following yields when one scrolls up, and goes on at the end"({ page }) {
    await register("steady", "n=0; while [ $n -lt 600 ]; do n=$((n+1)); echo step $n; [ $n -gt 200 ] && sleep 0.05; done; true", { timeout_s: 120 });
    const id = await submit("walk", { agent: "steady" });
    await visible(page, `/agents/steady/executions/${id}`);
    await page.getByText("step 200").waitFor();
    await page.waitForFunction(() => scrollY > 200);
    await page.mouse.move(600, 500);
    await page.mouse.wheel(0, -1500);
    await page.waitForFunction(() => !document.getElementById("follow").checked);
    const there = await page.evaluate(() => scrollY);
    const grown = await page.evaluate(() => document.documentElement.scrollHeight);
    await page.waitForFunction((before) => document.documentElement.scrollHeight > before, grown);
    expect(Math.abs(await page.evaluate(() => scrollY) - there) < 2, "the reader was not moved");
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await page.waitForFunction(() => document.getElementById("follow").checked);
    await api("POST", `/api/agents/steady/executions/${id}/terminate`, {});
    await ended(id, "steady");
  },
};

const plain = async ({ page }) => {
  const id = await submit("sleep 300 by forms alone");
  await page.goto(url);
  await page.locator(`#x-${id} .pick`).check();
  await page.getByRole("button", { name: "Stop…" }).click();
  await page.getByRole("button", { name: "Stop 1" }).click();
  await page.getByRole("heading", { name: "Stopped: 1" }).waitFor();
  await ended(id);
  await page.goto(`${url}/agents/demo/executions/${id}`);
  await page.fill("#transcript-search", "simulated");
  await page.keyboard.press("Enter");
  await page.locator(".raw li").first().waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts executions are chosen and stopped, and a transcript is searched"] = plain;

await stories(all);
