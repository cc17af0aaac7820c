// While somebody types when a schedule is to come: what that means, at once.
import { morph } from "./page.js";

const PAUSE_MS = 300;
let asked = null;

async function preview(form) {
  asked?.abort();
  asked = new AbortController();
  const body = new URLSearchParams(new FormData(form));
  body.set("do", "preview");
  try {
    const answer = await fetch(form.action, { method: "POST", headers: { accept: "text/html" }, body, signal: asked.signal });
    if ((answer.headers.get("content-type") ?? "").startsWith("text/html")) morph(new DOMParser().parseFromString(await answer.text(), "text/html"), "#preview");
  } catch { /* The button asks again, and says why it can't be. */ }
}

export function start() {
  let typing;
  document.addEventListener("input", ({ target }) => {
    if (target.form?.id !== "schedule-form" || !["cron", "timezone"].includes(target.name)) return;
    clearTimeout(typing);
    typing = setTimeout(() => { if (target.isConnected) preview(target.form); }, PAUSE_MS);
  });
}
