// Schedules: made, looked at, changed, triggered, deleted.
import { accessible, api, ended, expect, looks, stories, submit, url } from "./browser.mjs";

const EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">";

async function settled(page) { await page.waitForSelector('#live[data-state="live"]'); }

const all = {
  async "a schedule is made, and its next runs are seen before it is saved"({ page }) {
    await page.goto(`${url}/schedules`);
    await settled(page);
    await accessible(page, "no schedules");
    await page.getByRole("link", { name: "New schedule" }).first().click();
    await page.waitForURL(`${url}/schedules/new`);
    await page.selectOption("select[name=agent_name]", "demo");
    await page.fill("textarea[name=message]", "Summarise the day");
    await page.fill("input[name=name]", "Evening summary");
    await page.fill("input[name=timezone]", "Europe/Berlin");
    await page.locator("input[name=cron]").pressSequentially("30 18 * * MON-FRI");
    await page.waitForFunction(() => document.querySelectorAll("#preview li").length === 10);
    await looks(page, "schedule-new");
    await page.fill("input[name=cron]", "61 * * * *");
    await page.waitForSelector("#preview .is-wrong-text");
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByRole("alert").waitFor();
    expect(await page.locator("textarea[name=message]").inputValue() === "Summarise the day", "what was typed stays");
    await page.fill("input[name=cron]", "30 18 * * MON-FRI");
    await page.getByRole("button", { name: "Create" }).click();
    await page.waitForURL(/\/schedules\/[0-9a-f-]{36}$/);
    await page.getByRole("heading", { name: "Evening summary" }).waitFor();
    expect(await page.locator(".month .has-runs").count() === 10, "ten days in the calendar");
  },

  async "it is triggered, disabled, enabled, changed and deleted from its page"({ page }) {
    const made = await api("POST", "/api/schedules", { agent_name: "demo", message: "Say hello", name: "Hello", cron: "0 9 * * *" });
    await page.goto(`${url}/schedules/${made.schedule_id}`);
    await settled(page);
    await page.getByRole("button", { name: "Trigger now" }).click();
    await page.locator("#decided").getByText("triggered by hand").waitFor();
    await looks(page, "schedule");
    await page.getByRole("button", { name: "Disable" }).click();
    await page.locator("#schedule-state").getByText("disabled").waitFor();
    await page.getByText("it runs only when it is triggered").waitFor();
    await page.getByRole("button", { name: "Enable" }).click();
    await page.locator("#schedule-state").getByText("enabled").waitFor();
    await page.getByRole("link", { name: "Change", exact: true }).click();
    await page.waitForURL(/\/change$/);
    await page.fill("input[name=cron]", "0 8 * * *");
    await page.getByRole("button", { name: "Save" }).click();
    await page.waitForURL(`${url}/schedules/${made.schedule_id}`);
    await page.locator("#schedule-state").getByText("08:00").or(page.locator("#schedule-facts").getByText("0 8 * * *")).first().waitFor();
    const later = await api("POST", "/api/schedules", { agent_name: "demo", message: "Later", cron: "0 0 1 1 *" });
    const never = await api("POST", "/api/schedules", { agent_name: "demo", message: "Off", cron: "* * * * *", enabled: false });
    await page.goto(`${url}/schedules`);
    await settled(page);
    const order = await page.locator("#rows > tr").evaluateAll((rows) => rows.map((row) => row.id.slice(2)));
    const [first, second, last] = [made, later, never].map(({ schedule_id }) => order.indexOf(schedule_id));
    expect(first >= 0 && first < second && second < last && last === order.length - 1, `what comes next is first, what is disabled last: ${order}`);
    await looks(page, "schedules");
    for (const { schedule_id } of [later, never]) await api("DELETE", `/api/schedules/${schedule_id}`);
    await page.goto(`${url}/schedules/${made.schedule_id}`);
    await page.locator("#delete-schedule summary").click();
    await page.getByRole("button", { name: "Delete this schedule" }).click();
    await page.waitForURL(`${url}/schedules`);
    expect(await page.locator(`#s-${made.schedule_id}`).count() === 0, "it is gone");
  },

  async "a week shows what comes on each day, however often, and leads on"({ page }) {
    const create = (name, cron) => api("POST", "/api/schedules", { agent_name: "demo", message: "Say hello", name, cron });
    const made = [await create("Each minute", "* * * * *"), await create(EVIL.slice(0, 90), "30 9 * * *"), await create("Thrice", "0 6,12,18 * * *")];
    for (let more = 0; more < 12; more += 1) made.push(await create(`Weekly ${more}`, `${more} 4 * * WED`));
    await page.goto(`${url}/schedules`);
    await settled(page);
    await page.getByRole("link", { name: "Week", exact: true }).click();
    await page.waitForURL(`${url}/schedules/week`);
    await page.getByRole("link", { name: "Later" }).click();
    await page.waitForURL(/from=/);
    const days = page.locator(".week td");
    expect(await days.count() === 7, "seven days");
    await days.nth(0).getByText("06:00, 12:00, 18:00").waitFor();
    await days.nth(0).getByText("00:00, 00:01, 00:02 and 197+ more").waitFor();
    await days.nth(2).locator("summary").getByText(/^and [0-9]+ more$/).click();
    await looks(page, "schedules-week");
    expect(!(await page.title()).startsWith("taken") && await page.locator("main img").count() === 0, "a name is text");
    await page.getByRole("link", { name: "Thrice" }).first().click();
    await page.waitForURL(/\/schedules\/[0-9a-f-]{36}$/);
    await page.goto(`${url}/schedules/week?from=%3Cscript%3E&agent=none`);
    await page.getByText("Of none alone").waitFor();
    for (const { schedule_id } of made) await api("DELETE", `/api/schedules/${schedule_id}`);
  },

  async "an execution is made repeatable"({ page }) {
    const id = await submit("Repeat this");
    await ended(id);
    await page.goto(`${url}/schedules/new?execution=${id}`);
    await page.fill("input[name=cron]", "0 9 * * MON");
    await page.getByRole("button", { name: "Create" }).click();
    await page.waitForURL(/\/schedules\/[0-9a-f-]{36}$/);
    await page.locator("#schedule-facts").getByText("Repeat this").waitFor();
  },

  async "what people write is never run"({ page }) {
    const made = await api("POST", "/api/schedules", { agent_name: "demo", message: EVIL, name: EVIL.slice(0, 90), cron: "0 9 * * *" });
    for (const address of ["/schedules", `/schedules/${made.schedule_id}`, `/schedules/${made.schedule_id}/change`]) {
      await page.goto(url + address);
      await settled(page);
      expect(!(await page.title()).startsWith("taken"), `nothing ran at ${address}`);
    }
    await api("DELETE", `/api/schedules/${made.schedule_id}`);
  },
};

const plain = async ({ page }) => {
  await page.goto(`${url}/schedules/new`);
  await page.selectOption("select[name=agent_name]", "demo");
  await page.fill("textarea[name=message]", "By a form alone");
  await page.fill("input[name=cron]", "*/15 * * * *");
  await page.getByRole("button", { name: "Preview" }).click();
  await page.locator("#preview li").nth(9).waitFor();
  await page.getByRole("button", { name: "Create" }).click();
  await page.waitForURL(/\/schedules\/[0-9a-f-]{36}$/);
};
plain.options = { javaScriptEnabled: false };
all["without scripts a schedule is previewed and made"] = plain;

await stories(all);
