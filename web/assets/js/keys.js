// Keys, the sheet that explains them, the palette, the theme.
import { go, say } from "./page.js";

const THEMES = ["system", "light", "dark"];
let before = "";

function theme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
  try { if (next === "system") localStorage.removeItem("theme"); else localStorage.setItem("theme", next); } catch { /* Not kept. */ }
  say(next === "system" ? "Light or dark as the system is" : `Always ${next}`);
}

function move(step) {
  const rows = [...document.querySelectorAll("#rows > [id]")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("is-current"));
  rows[at]?.classList.remove("is-current");
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
  row.classList.add("is-current");
  row.querySelector("a").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function newTask() {
  const form = document.getElementById("new-task");
  const tab = document.querySelector("a[data-new-task]");
  if (!form) { go(tab?.href ?? "/").then(() => document.getElementById("new-task") && newTask()); return; }
  form.open = true;
  form.querySelector("textarea").focus();
}

const ALONE = {
  "/": () => (document.getElementById("search") ?? document.getElementById("transcript-search"))?.focus(),
  "?": () => document.getElementById("help-sheet").showModal(),
  n: newTask,
  j: () => move(1),
  k: () => move(-1),
  l: () => document.getElementById("follow")?.click(),
  t: () => document.getElementById("activity-open")?.click(),
};

/// Where `g` and another key go.
const PLACES = { e: "/", a: "/agents", c: "/sessions" };

function onKey(event) {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); openPalette(); return; }
  if (event.key === "Escape") for (const open of document.querySelectorAll("details.new-task[open], details.more[open]")) { open.open = false; open.querySelector("summary").focus(); }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (before === "g" && PLACES[event.key]) { before = ""; go(PLACES[event.key]); return; }
  before = event.key;
  const act = ALONE[event.key];
  if (act) { event.preventDefault(); act(); }
}

const palette = () => document.getElementById("palette");
let offers = [], chosen = 0, looking = 0;

function openPalette() {
  const text = document.getElementById("palette-text");
  text.value = "";
  palette().showModal();
  look("");
}

/// What can be done at once, and what the words find.
async function look(words) {
  const own = looking += 1;
  const commands = [
    { name: "Executions", about: "go to", act: () => go("/") },
    { name: "Agents", about: "go to", act: () => go("/agents") },
    { name: "Chats", about: "go to", act: () => go("/sessions") },
    { name: "Activity", about: "go to", act: () => go("/activity") },
    { name: "Timeline", about: "go to", act: () => go("/timeline") },
    { name: "Running executions", about: "go to", act: () => go("/?status=running") },
    { name: "Failed executions", about: "go to", act: () => go("/?status=failed") },
    { name: "Change between light and dark", about: "do", act: theme },
    { name: "Keys", about: "help", act: ALONE["?"] },
  ];
  if (palette().hasAttribute("data-may-submit")) commands.unshift({ name: "New task", about: "do", act: newTask });
  const stop = document.querySelector('#actions form[action$="/stop"] button:enabled');
  if (stop) commands.unshift({ name: "Stop this execution", about: "do", act: () => stop.click() });
  const fits = (name) => name.toLowerCase().includes(words.toLowerCase());
  offer(commands.filter(({ name }) => fits(name)));
  if (!words) return;
  const [agents, chats, found] = await Promise.all([
    fetch("/api/agents").then((answer) => answer.json()).catch(() => ({})),
    fetch("/api/sessions?limit=100").then((answer) => answer.json()).catch(() => ({})),
    fetch(`/api/executions?limit=8&q=${encodeURIComponent(`${words}*`)}`).then((answer) => answer.json()).catch(() => ({})),
  ]);
  if (own !== looking) return;
  offer([
    ...commands.filter(({ name }) => fits(name)),
    ...(agents.agents ?? []).filter(({ name }) => fits(name)).slice(0, 5)
      .map(({ name }) => ({ name, about: "agent", act: () => go(`/agents/${encodeURIComponent(name)}/tasks`) })),
    ...(chats.sessions ?? []).filter(({ title }) => fits(title ?? "")).slice(0, 5)
      .map((one) => ({ name: (one.title ?? "New chat").slice(0, 80), about: `chat with ${one.agent_name}`, act: () => go(`/sessions/${one.session_id}`) })),
    ...(found.executions ?? []).map((one) => ({
      name: (one.message ?? "erased").slice(0, 80), about: `${one.agent_name} · ${one.status}`,
      act: () => go(`/agents/${one.agent_name}/executions/${one.execution_id}`),
    })),
  ]);
}

function offer(list) {
  [offers, chosen] = [list, 0];
  document.getElementById("palette-found").replaceChildren(...list.map(({ name, about }, index) => {
    const item = document.createElement("li");
    item.id = `offer-${index}`;
    item.role = "option";
    const what = document.createElement("span");
    what.className = "quiet";
    what.textContent = about;
    item.append(name, what);
    item.onclick = () => take(index);
    return item;
  }));
  point(0);
}

function point(index) {
  chosen = offers.length ? (index + offers.length) % offers.length : 0;
  for (const [at, item] of [...document.getElementById("palette-found").children].entries()) item.ariaSelected = String(at === chosen);
  const current = document.getElementById(`offer-${chosen}`);
  current?.scrollIntoView({ block: "nearest" });
  const text = document.getElementById("palette-text");
  if (current) text.setAttribute("aria-activedescendant", current.id); else text.removeAttribute("aria-activedescendant");
}

function take(index) {
  palette().close();
  offers[index]?.act();
}

export function start() {
  for (const id of ["theme", "palette-open"]) document.getElementById(id).hidden = false;
  document.getElementById("theme").onclick = theme;
  document.getElementById("palette-open").onclick = openPalette;
  document.addEventListener("keydown", onKey);
  const text = document.getElementById("palette-text");
  let typing;
  text.oninput = () => { clearTimeout(typing); typing = setTimeout(() => look(text.value.trim()), 120); };
  text.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); point(chosen + step); }
    if (event.key === "Enter") { event.preventDefault(); take(chosen); }
  };
}
