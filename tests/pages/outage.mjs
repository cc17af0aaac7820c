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
});
process.stdin.destroy();
