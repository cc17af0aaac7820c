// The list of executions, and one execution.
import { accessible, api, ended, expect, looks, stories, submit, url } from "./browser.mjs";

const EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }

const all = {
  async "a person signs in where they were turned away, and comes to where they wanted"({ page, context }) {
    await context.clearCookies();
    await page.goto(`${url}/?status=failed`);
    expect(page.url().startsWith(`${url}/sign-in`), "asked to sign in");
    await page.fill("#key", process.env.LEDGER_KEY);
    await page.click("#form button");
    await page.waitForURL(`${url}/?status=failed`);
    await page.getByRole("button", { name: /sign out/ }).click();
    await page.waitForURL(`${url}/sign-in`);
    await page.goto(url);
    expect(page.url().startsWith(`${url}/sign-in`), "signed out");
  },

  async "on a phone the places are behind a menu, also without scripts"({ page }) {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(url);
    expect(!await page.locator("#places").isVisible(), "closed at first");
    await page.getByRole("button", { name: "Menu" }).click();
    await page.locator("#places").getByRole("link", { name: "Executions" }).click();
    await page.locator("#places").waitFor({ state: "hidden" });
  },

  async "the list is read, filtered, searched and ordered, and its address says how"({ page }) {
    for (const message of ["Compare three vendors", "fail on purpose", "Write release notes"]) await ended(await submit(message));
    await page.goto(url);
    await settled(page);
    expect(Buffer.byteLength(await (await page.request.get(url)).text()) < 100 * 1024, "the list is below 100 KB");
    await looks(page, "executions");
    await page.selectOption("select[name=status]", "failed");
    await page.waitForURL(`${url}/?status=failed`);
    await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 1);
    await page.fill("#search", "nothing like it");
    await page.getByText("Nothing matches").waitFor();
    await accessible(page, "an empty list");
    await page.getByRole("link", { name: "Clear the filters" }).click();
    await page.waitForURL(`${url}/`);
    await page.fill("#search", "release");
    await page.waitForFunction(() => document.querySelectorAll("#rows tr").length === 1 && location.search === "?q=release");
    await page.goto(`${url}/?sort=-cost`);
    expect(await page.locator("#rows tr").count() >= 3, "ordered by cost");
    await page.goto(`${url}/?status=unheard-of`);
    await page.getByText("it must be one of").waitFor();
    await accessible(page, "an error");
  },

  async "a task is given by keyboard, watched live, and its end is seen"({ page }) {
    await page.goto(url);
    await settled(page);
    await page.keyboard.press("n");
    await page.keyboard.type("sleep 2 and tell");
    await page.keyboard.press("Control+Enter");
    await page.waitForURL(/\/agents\/demo\/executions\//);
    await page.locator('#transcript-live[data-state="live"]').waitFor();
    await page.getByText("Simulated work: second 2 of 2.").waitFor();
    await page.locator('#transcript-live[data-state="ended"]').waitFor();
    await page.locator("#state").getByText("completed").waitFor();
    await page.locator("#answer").getByText("This answer is simulated").waitFor();
    await looks(page, "execution");
  },

  async "a run is stopped from its page, which shows each step of it"({ page }) {
    const id = await submit("sleep 300");
    await page.goto(`${url}/agents/demo/executions/${id}`);
    await page.getByText("Simulated work: second 1 of 300.").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#happened").getByText("Stop asked for").waitFor();
    await page.locator("#happened").getByText("SIGINT sent").waitFor();
    await page.locator("#state").getByText("cancelled").waitFor();
    await page.getByRole("button", { name: "Run again" }).click();
    await page.waitForURL((now) => /\/executions\//.test(now.pathname) && !now.pathname.endsWith(id));
    const again = new URL(page.url()).pathname.split("/").pop();
    await page.getByRole("button", { name: "Stop" }).click();
    await ended(again);
  },

  async "what runs appears by itself, and moves nothing that is being read"({ page }) {
    for (let n = 0; n < 30; n += 1) await submit(`Filler ${n}`);
    await page.goto(url);
    await settled(page);
    const first = await submit("Seen at once");
    await page.locator(`#x-${first}`).waitFor();
    await page.evaluate(() => scrollTo(0, 200));
    const before = await page.locator(`#x-${first}`).boundingBox();
    const second = await submit("Announced only");
    const news = page.getByRole("button", { name: /new execution/ });
    await news.waitFor();
    const after = await page.locator(`#x-${first}`).boundingBox();
    expect(before.y === after.y, "nothing moved");
    // By the mouse, where it is seen: `click` may scroll to the top first, where all that is new comes
    // by itself and there is nothing left to click.
    const { x, y, width, height } = await news.boundingBox();
    await page.mouse.click(x + width / 2, y + height / 2);
    await page.locator(`#x-${second}`).waitFor();
  },

  async "the palette goes to an execution by what it is about"({ page }) {
    const id = await submit("Zanzibar itinerary");
    await ended(id);
    await page.goto(url);
    await settled(page);
    await page.keyboard.press("Control+k");
    await page.keyboard.type("zanz");
    await page.getByRole("option", { name: /Zanzibar/ }).waitFor();
    await accessible(page, "the palette");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${url}/agents/demo/executions/${id}`);
    await page.keyboard.press("?");
    await page.getByRole("heading", { name: "Keys" }).waitFor();
  },

  async "the theme that is chosen stays"({ page }) {
    await page.goto(url);
    await page.click("#theme");
    await page.click("#theme");
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset.theme) === "dark", "dark after a reload");
  },

  async "a page says when it is cut off, and follows again by itself"({ page, context }) {
    await page.goto(url);
    await settled(page);
    await context.setOffline(true);
    // A WebSocket that is open is not cut by the browser's own switch.
    await page.reload().catch(() => {});
    await context.setOffline(false);
    await page.goto(url);
    await settled(page);
  },

  async "what people and agents write is never run"({ page }) {
    await api("POST", "/api/agents", { name: "evil", runtime: "command", command: ["/bin/echo"] });
    const id = await submit(EVIL, { agent: "evil" });
    await ended(id, "evil");
    for (const address of ["/", `/agents/evil/executions/${id}`, `/?q=${encodeURIComponent(EVIL)}`]) {
      await page.goto(url + address);
      await settled(page);
      expect(!(await page.title()).startsWith("taken"), `nothing ran at ${address}`);
    }
  },
};

const plain = async ({ page }) => {
  await page.goto(url);
  await page.locator("#new-task summary").click();
  await page.fill("textarea[name=message]", "By a form alone");
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL(/\/agents\/demo\/executions\//);
  const id = new URL(page.url()).pathname.split("/").pop();
  await ended(id);
  await page.reload();
  await page.getByText("This answer is simulated").waitFor();
  await page.goto(`${url}/?q=form`);
  expect(await page.locator("#rows tr").count() === 1, "found without scripts");
};
plain.options = { javaScriptEnabled: false };
all["without scripts a task is given, read and found"] = plain;

await stories(all);
