// Audit and keys: the ledger as it was, whether it still is, who may come in.
import { api, ended, expect, looks, stories, submit, url } from "./browser.mjs";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }
const EVIL = "<img src=x onerror=\"document.title='taken'\">";

const all = {
  async "a key is issued, shown once, used, and revoked"({ page, browser }) {
    await page.goto(`${url}/keys`);
    await page.getByText("No keys yet").waitFor();
    await looks(page, "keys-empty");
    await page.locator("#new-key summary").click();
    await page.fill("input[name=name]", "Not A User");
    await page.getByRole("button", { name: "Issue" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.inputValue("input[name=name]") === "Not A User", "what was typed is kept");
    await page.fill("input[name=name]", "ada");
    await page.fill("input[name=may_call]", "demo");
    await page.getByRole("button", { name: "Issue" }).click();
    await page.locator("#issued").waitFor();
    const key = await page.locator("#secret").textContent();
    expect(!page.url().includes(key), "the key is in no address");
    await page.locator("#rows").getByText("ada").first().waitFor();
    await settled(page);
    const followed = page.waitForResponse((answer) => answer.url() === `${url}/keys`);
    await submit("Something happens");
    await followed;
    expect(await page.locator("#secret").textContent() === key, "it stays while the page follows");
    await looks(page, "key-issued");
    const known = () => fetch(`${url}/api/me`, { headers: { authorization: `Bearer ${key}` } });
    expect((await known()).ok, "it opens");
    await page.reload();
    expect(await page.locator("#secret").count() === 0, "shown once");
    await looks(page, "keys");
    await page.getByText("Revoke", { exact: false }).first().waitFor();
    await page.locator("details.confirm summary").click();
    await page.getByRole("button", { name: "Revoke it" }).click();
    await page.getByText("No keys yet").waitFor();
    expect((await known()).status === 401, "it opens nothing any more");
    await page.getByRole("link", { name: "Revoked" }).click();
    await page.locator("#rows").getByText("ada").first().waitFor();
  },

  async "one moves through time and sees the list and one execution as they were"({ page }) {
    const id = await submit(EVIL);
    await ended(id);
    await ended(await submit("A later one"));
    await page.goto(`${url}/audit`);
    await page.locator(`#t-${id}`).waitFor();
    const first = (await api("GET", `/api/agents/demo/executions/${id}`)).events[0].position.split("-").pop();
    await page.locator("#slider").fill(first);
    await page.waitForURL((now) => now.searchParams.get("at") === first);
    await page.locator(`#t-${id} .is-pending`).waitFor();
    await page.locator(`#t-${id} .differs`).getByText("completed").waitFor();
    await page.locator("#moment-event").getByText("execution.pending").waitFor();
    await looks(page, "audit");
    await page.locator(`#t-${id} a`).click();
    await page.locator("#state").getByText("pending").waitFor();
    await page.getByRole("link", { name: "Next event" }).click();
    await page.locator("#state").getByText("running").waitFor();
    await looks(page, "audit-execution");
    await page.goto(`${url}/audit?at=0`);
    await page.getByText("There was no execution yet").waitFor();
    await page.goto(`${url}/audit?time=2001-01-01T00:00`);
    await page.getByText("There was no execution yet").waitFor();
    expect(!(await page.title()).startsWith("taken"), "nothing ran");
  },

  async "the history is verified with its progress, and an execution is proven"({ page }) {
    const id = await submit("Prove me");
    await ended(id);
    await page.goto(`${url}/audit/evidence`);
    await page.getByRole("button", { name: "Verify the history" }).click();
    await page.getByText("Nothing is wrong").waitFor();
    await looks(page, "audit-evidence");
    const until = Date.now() + 20_000;
    let proof;
    do { proof = await page.request.get(`${url}/api/agents/demo/executions/${id}/proof`); await new Promise((done) => setTimeout(done, 200)); }
    while (!proof.ok() && Date.now() < until);
    expect((await proof.json()).format === "execution-ledger-proof/1", "a proof");
    const answer = await page.request.get(`${url}/audit/export?format=ndjson&stream=execution-&type=&from=&to=`);
    expect(answer.ok() && (await answer.text()).includes("execution.completed"), "an export");
    await page.goto(`${url}/audit/facts`);
    await page.getByText("export").first().waitFor();
    await looks(page, "audit-facts");
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/audit/evidence`);
  await page.getByRole("button", { name: "Verify the history" }).click();
  await page.getByText("Nothing is wrong").waitFor();
  await page.goto(`${url}/keys`);
  await page.locator("#new-key summary").click();
  await page.fill("input[name=name]", "plain");
  await page.getByRole("button", { name: "Issue" }).click();
  await page.locator("#issued").waitFor();
  await page.goto(`${url}/audit`);
  await page.getByRole("link", { name: "Earlier" }).click();
  await page.locator("#then").waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts one verifies, issues a key and moves through time"] = plain;

await stories(all);
