// Several nodes, seen at one of them that neither leads nor hosts the agent.
import { api, expect, looks, stories, url } from "./browser.mjs";

await stories({
  async "the nodes are shown with who leads, which one answers, and what each hosts"({ page }) {
    await page.goto(`${url}/audit/evidence`);
    const nodes = page.locator("#nodes");
    await nodes.locator("tbody tr").nth(2).waitFor();
    expect(await nodes.locator("tbody tr").count() === 3, "three of them");
    expect(await nodes.getByText("leads", { exact: true }).count() === 1, "one leads");
    const own = nodes.locator("tr", { hasText: "the one that answers you" });
    expect(await own.count() === 1 && (await own.textContent()).includes(url), "and this one answers");
    expect(await nodes.locator("a[href^='/agents/']").count() > 5, "the agents are somewhere");
    await nodes.scrollIntoViewIfNeeded();
    await looks(page, "nodes");
  },

  async "what an agent says in a chat is seen while it says it, wherever it runs"({ page }) {
    const { nodes } = await api("GET", "/api/nodes");
    const other = nodes.find((node) => !node.this && !node.leader && node.agents.length > 0);
    const { session_id: id } = await api("POST", "/api/sessions", { agent_name: other.agents.find((name) => name !== "demo") });
    await page.goto(`${url}/sessions/${id}`);
    await page.waitForSelector('#live[data-state="live"]');
    await page.fill("#say-text", "hi");
    await page.locator("#say-text").press("Enter");
    await page.locator("[data-output]").getByText("hello").waitFor();
    expect(await page.locator("#chat-state").getByText("The agent is answering").count() === 1, "it goes on");
  },
});
