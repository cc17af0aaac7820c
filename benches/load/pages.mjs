// What a browser measures of the page of executions: prints JSON with medians in milliseconds.
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.PAGE_TOOLS}/`)("playwright-core");
const url = process.env.LEDGER_URL;
const ROUNDS = 15;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
await context.request.post(`${url}/api/sign-in`, { data: { key: process.env.LEDGER_KEY }, headers: { origin: url } });
const page = await context.newPage();
const median = (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)];

/// From an act in the page until another row stands first.
async function until(act) {
  return page.evaluate(async (act) => {
    const first = document.querySelector("#rows tr")?.id;
    const began = performance.now();
    if (act === "next") document.querySelector('a[rel="next"]').click(); else {
      const select = document.querySelector("select[name=status]");
      select.value = act;
      select.dispatchEvent(new Event("change", { bubbles: true }));
    }
    while (document.querySelector("#rows tr")?.id === first) await new Promise((done) => requestAnimationFrame(done));
    return performance.now() - began;
  }, act);
}

const [paints, filters, nexts] = [[], [], []];
for (let round = 0; round < ROUNDS; round += 1) {
  await page.goto(url, { waitUntil: "load" });
  await page.waitForSelector('#live[data-state="live"]');
  paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
  filters.push(await until(round % 2 ? "failed" : "cancelled"));
  nexts.push(await until("next"));
}
console.log(JSON.stringify({ paint_ms: median(paints), filter_ms: median(filters), next_ms: median(nexts) }));
await browser.close();
