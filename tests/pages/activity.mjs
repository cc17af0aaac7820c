// The activity panel as a page and at the side of every page, and the timeline.
import { api, ended, expect, looks, stories, submit, url } from "./browser.mjs";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }
const stop = async (id) => { await api("POST", `/api/agents/demo/executions/${id}/terminate`, {}); await ended(id); };

const all = {
  async "what agents do is read, filtered, and followed to its execution"({ page }) {
    await ended(await submit("Compare three vendors"));
    await ended(await submit("fail on purpose"));
    const running = await submit("sleep 300");
    await page.goto(`${url}/activity`);
    await settled(page);
    const row = page.locator(`#a-${running}`);
    await row.getByText("started").waitFor();
    await looks(page, "activity");
    await page.selectOption("select[name=state]", "failed");
    await page.waitForURL(`${url}/activity?state=failed`);
    await page.waitForFunction(() => document.querySelectorAll("#rows > li").length === 1);
    await page.getByRole("link", { name: "Clear" }).click();
    await page.waitForURL(`${url}/activity`);
    await stop(running);
    await row.getByText("cancelled").waitFor();
    await row.getByRole("link").first().click();
    await page.waitForURL(`${url}/agents/demo/executions/${running}`);
    await page.goto(`${url}/activity?limit=1`);
    await page.getByRole("link", { name: "Older" }).click();
    await page.waitForURL(/cursor=/);
    await page.getByRole("link", { name: "Newest" }).waitFor();
    await page.goto(`${url}/activity?type=unheard-of`);
    await page.getByText("it must be one of").waitFor();
  },

  async "the panel opens at the side of any page, says what runs, stays live, and closes by its key"({ page }) {
    const running = await submit("sleep 300");
    await page.goto(`${url}/agents`);
    await settled(page);
    await page.locator("#activity-open .badge").getByText("1").waitFor();
    await page.keyboard.press("t");
    const own = page.locator(`#activity-drawer #a-${running}`);
    await own.getByText("started").waitFor();
    await looks(page, "activity-drawer");
    await page.getByRole("link", { name: "Executions" }).click();
    expect(await page.locator("#activity-drawer").isVisible(), "it stays from page to page");
    await stop(running);
    await own.getByText("cancelled").waitFor();
    await page.locator("#activity-open .badge").waitFor({ state: "hidden" });
    await page.keyboard.press("Escape");
    await page.locator("#activity-drawer").waitFor({ state: "hidden" });
  },

  async "a timeline shows who worked when, grows, tells, and leads on"({ page }) {
    await api("POST", "/api/agents", { name: "helper", runtime: "demo", max_parallel_tasks: 3 });
    for (const message of ["sleep 3", "sleep 2 and tell", "Summarise the week"]) await submit(message, { agent: "helper" });
    await ended(await submit("fail on purpose"));
    const running = await submit("sleep 300");
    const from = `${new Date(Date.now() - 90_000).toISOString().slice(0, 19)}Z`;
    const to = `${new Date(Date.now() + 60_000).toISOString().slice(0, 19)}Z`;
    await page.goto(`${url}/timeline?from=${from}&to=${to}`);
    await settled(page);
    const bar = page.locator(`#b-${running} .bar.is-running`);
    await bar.waitFor();
    const width = parseFloat(await bar.getAttribute("width"));
    await page.waitForFunction(([id, before]) => parseFloat(document.querySelector(`#b-${id} .bar`).getAttribute("width")) > before + 0.5, [running, width]);
    await page.locator(`#b-${running}`).focus();
    await page.locator("#bar-card").getByText("sleep 300").waitFor();
    await page.keyboard.press("Escape");
    for (const named of ["manual", "failed", "waiting"]) await page.locator("#timeline-legend").getByText(named, { exact: true }).waitFor();
    const targets = await page.evaluate(() => [...document.querySelectorAll(".bar .hit")].map((hit) => hit.getBoundingClientRect()).map(({ width, height }) => Math.min(width, height)));
    expect(targets.length >= 5 && targets.every((size) => size >= 16), `each bar can be pointed at: ${targets}`);
    await page.locator(".lanes a").first().focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowDown");
    expect(await page.evaluate(() => document.activeElement.closest(".block-of-agent").id) === "block-helper", "from agent to agent by the keys");
    await page.keyboard.press("ArrowRight");
    await page.locator("#bar-card").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("#timeline-table summary").click();
    await page.locator("#timeline-table tbody tr").first().waitFor();
    await page.locator("#timeline-table summary").click();
    await looks(page, "timeline");
    await stop(running);
    await page.locator(`#b-${running} .bar.is-cancelled`).waitFor();
    await page.locator(`#b-${running} .bar .fill`).click();
    await page.waitForURL(`${url}/agents/demo/executions/${running}`);
  },

  async "the time that is shown is chosen, zoomed and moved, and stands in the address"({ page }) {
    await ended(await submit("Something to see"));
    await page.goto(`${url}/timeline`);
    await settled(page);
    await page.getByRole("link", { name: "7d" }).click();
    await page.waitForURL(`${url}/timeline?range=7d`);
    await page.getByRole("link", { name: "Zoom in" }).click();
    await page.waitForURL(/from=/);
    await page.getByRole("link", { name: "Earlier" }).click();
    await page.getByText("Nothing ran in this time").waitFor();
    await page.goto(`${url}/timeline?range=1h`);
    await settled(page);
    const box = await page.locator(".axis").boundingBox();
    await page.mouse.move(box.x + box.width - 20, box.y + 12);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -100);
    await page.keyboard.up("Control");
    await page.waitForURL(/from=/);
    const before = page.url();
    await page.mouse.move(box.x + 200, box.y + 12);
    await page.mouse.down();
    await page.mouse.move(box.x + 500, box.y + 12, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL((now) => now.href !== before);
    await page.goto(`${url}/timeline?from=nonsense`);
    await page.getByText("From and to must be times").waitFor();
    await page.goto(`${url}/timeline?from=2020-01-01T00:00&to=2020-01-02T00:00`);
    await looks(page, "timeline-empty");
  },
};

const plain = async ({ page }) => {
  const id = await submit("Seen without scripts");
  await ended(id);
  await page.goto(url);
  await page.locator("#activity-open").click();
  await page.waitForURL(`${url}/activity`);
  await page.locator(`#a-${id}`).waitFor();
  await page.goto(`${url}/timeline`);
  await page.locator(`#b-${id} .bar`).waitFor();
  await page.getByText("Custom range").click();
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/from=/);
  await page.locator(`#b-${id} .bar`).waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts the panel is a page and the timeline is drawn"] = plain;

await stories(all);
