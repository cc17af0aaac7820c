// Webhooks: registered, told, failing, changed, given another secret, deleted. The story is the receiver.
import { createServer } from "node:http";
import { accessible, api, ended, expect, looks, stories, submit, url } from "./browser.mjs";

const EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";
let status = 204;
const receiver = createServer((request, answer) => { request.resume(); answer.writeHead(status).end(); });
const hook = await new Promise((done) => receiver.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${receiver.address().port}/hook`)));

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }
const register = (settings) => api("POST", "/api/webhooks", { name: "Billing", url: hook, kinds: ["run_cost"], ...settings });
const gone = ({ webhook_id }) => api("DELETE", `/api/webhooks/${webhook_id}`);

const all = {
  async "a webhook is registered, its secret shown once, and what it is told is seen"({ page }) {
    await page.goto(`${url}/webhooks`);
    await page.getByText("Nobody is told yet").waitFor();
    await looks(page, "webhooks-empty");
    await page.locator("#new-webhook summary").click();
    await page.fill("input[name=name]", "Billing");
    await page.fill("input[name=url]", hook);
    await page.getByRole("button", { name: "Register" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.inputValue("input[name=name]") === "Billing", "what was typed is kept");
    await looks(page, "webhook-refused");
    await page.locator("input[value='execution.completed']").check();
    await page.locator("input[value='run_cost']").check();
    await page.getByRole("button", { name: "Register" }).click();
    await page.locator("#shown-once").waitFor();
    const secret = await page.locator("#secret").textContent();
    expect(secret.startsWith("whsec_"), "a secret");
    await settled(page);
    await ended(await submit("Something that costs"));
    await page.waitForFunction(() => document.querySelector("#rows time"));
    expect(await page.locator("#secret").textContent() === secret, "it stays while the page follows");
    await looks(page, "webhook-registered");
    await page.reload();
    expect(await page.locator("#secret").count() === 0, "shown once");
    await looks(page, "webhooks");
    await page.locator("#rows a").first().click();
    await page.waitForURL(/\/webhooks\/[0-9a-f-]{36}$/);
    await page.waitForFunction(() => document.querySelectorAll("#rows .is-completed").length === 2);
    await page.locator("#rows").getByText("204").first().waitFor();
    await page.getByRole("link", { name: "Given up" }).click();
    await page.waitForURL(/state=dead$/);
    await page.getByText("Nothing was given up").waitFor();
    await page.getByRole("link", { name: "Taken", exact: true }).click();
    await page.waitForURL(/state=delivered$/);
    await page.locator("#rows tr").first().waitFor();
  },

  async "one that fails says since when and why, and is tried, changed, disabled and deleted"({ page }) {
    status = 503;
    const made = await register();
    await ended(await submit("Nobody takes this"));
    await page.goto(`${url}/webhooks/${made.webhook_id}`);
    await settled(page);
    await page.locator("#webhook-state").getByText("another answer than 200 to 299").waitFor();
    await page.locator("#rows .is-pending").waitFor();
    await looks(page, "webhook");
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.locator("#tested").getByText("it answered 503").waitFor();
    status = 204;
    await page.getByRole("button", { name: "Send a test" }).click();
    await page.locator("#tested").getByText("The test message was taken").waitFor();
    // The one that was refused may rest for minutes by now; another is sent at once.
    await ended(await submit("This is taken"));
    await page.locator("#rows .is-completed").first().waitFor();
    await page.locator("#new-secret summary").click();
    await page.getByRole("button", { name: "Make a new secret" }).click();
    const secret = await page.locator("#secret").textContent();
    expect(secret.startsWith("whsec_") && secret !== made.secret, "another secret");
    await page.getByRole("link", { name: "I have it" }).click();
    await page.locator("#webhook-facts").getByText("no. 2").waitFor();
    await page.locator("#change-webhook summary").click();
    await page.fill("#change-webhook input[name=url]", "http://10.0.0.1/<b>");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").getByText("webhooks_allow_private").waitFor();
    await page.fill("#change-webhook input[name=url]", hook);
    await page.fill("#change-webhook input[name=name]", "Accounting");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Accounting" }).waitFor();
    await page.getByRole("button", { name: "Disable" }).click();
    await page.locator("#webhook-state").getByText("disabled").waitFor();
    await page.getByRole("button", { name: "Enable" }).click();
    await page.locator("#webhook-state").getByText("enabled").waitFor();
    await page.locator("#delete-webhook summary").click();
    await page.getByRole("button", { name: "Delete this webhook" }).click();
    await page.waitForURL(/\/webhooks(\?seen=.*)?$/);
    expect(await page.locator(`#w-${made.webhook_id}`).count() === 0, "it is gone");
  },

  async "what people write is text, and who may not see webhooks is led to none"({ page, browser }) {
    const made = await register({ name: EVIL.slice(0, 100), url: `${hook}?a=%3Cscript%3E&b='"` });
    for (const address of ["/webhooks", `/webhooks/${made.webhook_id}`, `/webhooks/${made.webhook_id}?state=%3Cscript%3E`]) {
      await page.goto(url + address);
      expect(await page.locator("main img, main script").count() === 0, `no markup of theirs at ${address}`);
      expect(!(await page.title()).startsWith("taken"), `nothing ran at ${address}`);
    }
    await gone(made);
    const issued = await api("POST", "/api/keys", { name: "olga", role: "operator" });
    const context = await browser.newContext();
    await context.request.post(`${url}/api/sign-in`, { data: { key: issued.key }, headers: { origin: url } });
    const other = await context.newPage();
    await other.goto(url);
    expect(await other.locator('#places a[href="/webhooks"]').count() === 0, "no link for an operator");
    expect(await other.locator('#places a[href="/payments"]').count() === 1, "but to payments");
    expect((await other.goto(`${url}/webhooks`)).status() === 403, "and no page");
    await accessible(other, "refused");
    await context.close();
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/webhooks`);
  await page.locator("#new-webhook summary").click();
  await page.fill("input[name=name]", "Plain");
  await page.fill("input[name=url]", hook);
  await page.locator("input[value='execution.failed']").check();
  await page.getByRole("button", { name: "Register" }).click();
  await page.locator("#shown-once").waitFor();
  await page.getByRole("link", { name: "I have it" }).click();
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.locator("#tested").getByText("The test message was taken").waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts a webhook is registered and tried"] = plain;

await stories(all);
receiver.closeAllConnections();
receiver.close();
