// Payments: made by the official client before the story begins: one good, one owed back, one unknown.
import { accessible, api, expect, known, looks, stories, url } from "./browser.mjs";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }
const paid = async (status) => (await known(`/api/payments?status=${status}`)).payments[0];

const all = {
  async "payments are listed, filtered and read, with their stories and the executions that they paid for"({ page }) {
    const [good, owed] = [await paid("settled"), await paid("refund_owed")];
    await page.goto(`${url}/payments`);
    await settled(page);
    await page.locator(`#p-${good.payment_id}`).getByText("paid", { exact: true }).waitFor();
    await page.locator(`#p-${owed.payment_id}`).getByText("are owed back: the execution failed").waitFor();
    await looks(page, "payments");
    await page.selectOption("select[name=status]", "refund_owed");
    await page.waitForURL(`${url}/payments?status=refund_owed`);
    await page.waitForFunction(() => document.querySelectorAll("#rows > tr").length === 1);
    await page.locator("#rows").getByRole("link", { name: "Story" }).click();
    await page.waitForURL(`${url}/payments/${owed.payment_id}`);
    for (const fact of ["Verified", "Settlement requested", "Settled", "Refund owed"]) await page.locator("#payment-story").getByText(fact, { exact: true }).waitFor();
    await looks(page, "payment-owed");
    await page.locator("#payment-facts").getByRole("link", { name: owed.payer }).click();
    await page.waitForURL(`${url}/payments?payer=${owed.payer}`);
    await page.locator(`#p-${owed.payment_id}`).waitFor();
    await page.goto(`${url}/payments?payer=nobody`);
    await page.getByText("an address: 0x and 40 hexadecimal digits").waitFor();
    await accessible(page, "a payer that is none");
  },

  async "an execution that was paid for leads to its payment, and so do the earnings"({ page }) {
    const good = await paid("settled");
    await page.goto(`${url}/agents/demo/executions/${good.execution_id}`);
    await settled(page);
    await page.locator("#facts").getByRole("link", { name: "this payment" }).click();
    await page.waitForURL(`${url}/payments/${good.payment_id}`);
    await page.locator("#payment-facts").getByRole("link", { name: good.execution_id }).click();
    await page.waitForURL(`${url}/agents/demo/executions/${good.execution_id}`);
    await page.goto(`${url}/costs`);
    await page.locator("#earned").getByRole("link", { name: "All payments" }).click();
    await page.waitForURL(`${url}/payments`);
  },

  async "of what nobody knows a person says what came of it, with a reason"({ page }) {
    const open = await paid("settlement_unknown");
    await page.goto(`${url}/payments/${open.payment_id}`);
    await settled(page);
    await page.locator("#resolve summary").click();
    await looks(page, "payment-unknown");
    await page.selectOption("select[name=outcome]", "failed");
    await page.fill("textarea[name=reason]", "<b>nothing</b> on the chain");
    await page.getByRole("button", { name: "Record it" }).click();
    await page.getByRole("alert").getByText("valid").first().waitFor();
    expect(await page.inputValue("textarea[name=reason]") === "<b>nothing</b> on the chain", "what was typed stays");
    await page.selectOption("select[name=outcome]", "settled");
    await page.getByRole("button", { name: "Record it" }).click();
    await page.locator("#payment-state").getByText("paid").waitFor();
    await page.locator("#payment-facts").getByText("<b>nothing</b> on the chain").waitFor();
    await page.locator("#payment-facts").getByText("a person decided it").waitFor();
    await page.locator("#payment-story").getByText("Settled", { exact: true }).waitFor();
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/payments`);
  await page.selectOption("select[name=status]", "settled");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL(/status=settled/);
  await page.locator("#rows").getByRole("link", { name: "Story" }).first().click();
  await page.locator("#payment-story").getByText("Verified", { exact: true }).waitFor();
};
plain.options = { javaScriptEnabled: false };
all["without scripts payments are filtered and read"] = plain;

await stories(all);
