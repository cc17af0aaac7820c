// What runs cost, budgets, and the correction of a cost.
import { accessible, api, ended, expect, known, looks, stories, submit, url } from "./browser.mjs";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }

const all = {
  async "costs are shown by day, agent, model and trigger, of the days that are chosen"({ page }) {
    for (const message of ["One", "Two", "Three"]) await ended(await submit(message));
    await page.goto(`${url}/costs`);
    await settled(page);
    await page.getByRole("heading", { name: "By agent" }).waitFor();
    await page.locator("#by-agent").getByRole("link", { name: "demo" }).waitFor();
    expect(await page.locator(".plot .fill").count() === 1, "one day has a bar");
    await looks(page, "costs");
    await page.getByRole("link", { name: "7 days", exact: true }).click();
    await page.waitForURL(`${url}/costs?range=7d`);
    expect(await page.locator(".plot .day").count() === 7, "seven days");
    await page.goto(`${url}/costs?from=2020-01-01&to=2020-06-30`);
    await page.getByText("Nothing ran.").first().waitFor();
    expect(await page.locator(".plot .day").count() === 6, "a long range by month");
    await accessible(page, "no costs");
    const file = await page.request.get(`${url}/costs.csv?by=agent&range=7d`);
    expect(/^agent,runs,cost_usd,runs_of_unknown_cost\r\ndemo,3,/.test(await file.text()), "a file of what is shown");
  },

  async "a budget is set, seen as it is used, changed and lifted"({ page }) {
    await page.goto(`${url}/costs`);
    await settled(page);
    await page.getByText("No budget limits anything").waitFor();
    await page.locator("#set-budget summary").click();
    await page.selectOption("#set-budget select[name=kind]", "agent");
    await page.fill("#set-budget input[name=name]", "demo");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.locator("#set-budget input[name=name]").inputValue() === "demo", "what was typed stays");
    await page.fill("#set-budget input[name=per_day_usd]", "0.05");
    await page.fill("#set-budget input[name=per_month_usd]", "20");
    await page.getByRole("button", { name: "Save" }).click();
    await page.locator("#budget-agent-demo").waitFor();
    await page.goto(`${url}/costs`);
    await looks(page, "budgets");
    await page.locator("#budget-agent-demo").getByRole("link", { name: "Change" }).click();
    await page.waitForURL(/budget=agent-demo/);
    await page.getByRole("button", { name: "Lift this budget" }).click();
    await page.getByText("No budget limits anything").waitFor();
  },

  async "how a budget burns down is a line, with the same as a table, of the budget and the time that are chosen"({ page }) {
    await ended(await submit("Spent before there was a budget"));
    await api("PUT", "/api/budgets/global", { per_day_usd: 0.1, per_month_usd: 0.2 });
    await api("PUT", "/api/budgets/agent-demo", { per_day_usd: 0.3 });
    const kept = await submit("sleep 300", { max_cost_usd: 0.02 });
    await page.goto(`${url}/costs`);
    await settled(page);
    await page.locator("#budget-global").getByRole("link", { name: "Burn-down" }).click();
    await page.waitForURL(/burn=global#burn-down$/);
    const line = page.locator("#burn-down");
    await line.getByRole("link", { name: "Today" }).click();
    await page.waitForURL(/burn=global&per=day#burn-down$/);
    await settled(page);
    const told = await line.locator("svg[role=img]").getAttribute("aria-label");
    expect(/^Today: \$[0-9.]+ of \$0\.1000 are left, \$[0-9.]+ spent and \$0\.0200 kept; at an even pace/.test(told), told);
    await line.locator("#burn-table summary").click();
    await line.locator("#burn-table tbody tr").first().waitFor();
    await looks(page, "burn-down");
    await api("POST", `/api/agents/demo/executions/${kept}/terminate`, {});
    await ended(kept);
    await page.waitForFunction(() => !document.querySelector("#burn-down svg[role=img]").getAttribute("aria-label").includes("$0.0200 kept"));
    await line.getByRole("link", { name: "agent demo" }).click();
    await page.waitForURL(/burn=agent-demo/);
    await line.getByText("Burn-down of agent demo").waitFor();
    for (const budget of ["global", "agent-demo"]) await api("DELETE", `/api/budgets/${budget}`);
  },

  async "the cost of an execution is corrected, with a reason"({ page }) {
    const id = await submit("To be corrected");
    await ended(id);
    await page.goto(`${url}/agents/demo/executions/${id}/cost`);
    await settled(page);
    await looks(page, "correction");
    await page.fill("textarea[name=reason]", "Invoice of November");
    await page.getByRole("button", { name: "Correct the cost" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.locator("textarea[name=reason]").inputValue() === "Invoice of November", "what was typed stays");
    await page.fill("input[name=cost_usd]", "0.25");
    await page.getByRole("button", { name: "Correct the cost" }).click();
    await page.waitForURL(`${url}/agents/demo/executions/${id}`);
    expect((await known(`/api/agents/demo/executions/${id}`)).cost_usd === 0.25, "corrected");
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/costs`);
  await page.locator("#set-budget summary").click();
  await page.fill("#set-budget input[name=per_day_usd]", "5");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator("#budget-global").waitFor();
  await api("DELETE", "/api/budgets/global");
};
plain.options = { javaScriptEnabled: false };
all["without scripts a budget is set"] = plain;

await stories(all);
