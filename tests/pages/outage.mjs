// The ledger dies and comes back at the same address; whoever started this kills it and starts it again
// when told to on the standard output.
import { accessible, ended, expect, stories, submit, url } from "./browser.mjs";

function told(word) {
  console.log(word);
  return new Promise((done) => process.stdin.once("data", done));
}

await stories({
  async "the page says that it is cut off, and catches up by itself"({ page }) {
    const before = await submit("Before the outage");
    await ended(before);
    await page.goto(url);
    await page.waitForSelector('#live[data-state="live"]');
    await told("kill");
    await page.waitForSelector('#live[data-state="offline"]');
    expect(await page.locator(`#x-${before}`).isVisible(), "what was there can still be read");
    await accessible(page, "a page that is cut off");
    await told("start");
    const after = await submit("After the outage");
    await page.waitForSelector('#live[data-state="live"]');
    await page.locator(`#x-${after}`).waitFor();
  },

  async "it says so too where the ledger is stopped in an orderly way, or hangs without a word"({ page }) {
    await page.goto(url);
    await page.waitForSelector('#live[data-state="live"]');
    await told("stop");
    await page.waitForSelector('#live[data-state="offline"]');
    await told("start");
    await page.waitForSelector('#live[data-state="live"]');
    await told("freeze");
    // The browser looks now and then whether it is still there; here it has reason to.
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await page.waitForSelector('#live[data-state="offline"]');
    await told("thaw");
    await page.waitForSelector('#live[data-state="live"]', { timeout: 40_000 });
    const after = await submit("After the silence");
    await page.locator(`#x-${after}`).waitFor();
  },
});
process.stdin.destroy();
