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

/// The places of the navigation: where `g` and their letter go.
const places = () => [...document.querySelectorAll("#places a")];
const may = (right) => (palette().dataset.rights ?? "").split(" ").includes(right);

function onKey(event) {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); openPalette(); return; }
  if (event.key === "Escape") for (const open of document.querySelectorAll("details.new-task[open], details.more[open]")) { open.open = false; open.querySelector("summary").focus(); }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const place = before === "g" && places().find(({ dataset }) => dataset.letter === event.key);
  if (place) { before = ""; event.preventDefault(); go(place.href); return; }
  before = event.key;
  const act = ALONE[event.key];
  if (act) { event.preventDefault(); act(); }
}

const palette = () => document.getElementById("palette");
let offers = [], chosen = 0, looking = 0;
/// Whether more is being looked for, and whether the first of it is to be taken as soon as it is there.
let pending = false, early = false;
/// Between the last letter and the search.
const TYPING_MS = 120;
/// What can be named in the palette, as it was when it was opened.
let named = null;
/// Offers of each kind: most.
const OFFERED_MAX = 6;
/// Running executions among which one to be stopped is looked for: most.
const RUNNING_MAX = 50;

const asked = (address) => fetch(address).then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));

function openPalette() {
  const text = document.getElementById("palette-text");
  text.value = "";
  palette().showModal();
  named = may("read") ? Promise.all([
    asked("/api/agents"),
    may("read_sessions") ? asked("/api/sessions?limit=100") : {},
    may("operate") ? asked(`/api/executions?status=running&limit=${RUNNING_MAX}`) : {},
  ]) : Promise.resolve([{}, {}, {}]);
  look("");
}

/// Has something done that has no page of its own; its answer is the page where it is seen.
const done = (address) => go(address, { options: { method: "POST", body: new URLSearchParams() } });
const of = (agent) => `/agents/${encodeURIComponent(agent)}`;
const short = (text) => (text ?? "erased").split("\n")[0].slice(0, 80);

/// What can be done on the page that is shown, and where one can go.
function commands() {
  const own = [...document.querySelectorAll("#actions :is(button:enabled, a), #agent-actions :is(button:enabled, a)")]
    .map((button) => ({ name: `${button.textContent.trim()}`, about: "on this page", act: () => button.click() }));
  const doing = may("operate") ? [{ name: "New task", about: "do", act: newTask }] : [];
  const going = places().map((link) => ({
    name: link.querySelector("span:not([id])").textContent, about: link.dataset.letter ? `g ${link.dataset.letter}` : "go to",
    act: () => (link.hasAttribute("data-plain") ? location.assign(link.href) : go(link.href)),
  }));
  if (may("read")) going.push(...["running", "pending", "failed"].map((state) => ({
    name: `${state === "pending" ? "Waiting" : state[0].toUpperCase() + state.slice(1)} executions`, about: "go to", act: () => go(`/?status=${state}`),
  })));
  return [...own, ...doing, ...going,
    { name: "Change between light and dark", about: "do", act: theme },
    { name: "Keys of the keyboard", about: "?", act: ALONE["?"] },
  ];
}

function ofAgents(agents) {
  const active = agents.filter(({ status }) => status !== "retired");
  const pages = agents.map(({ name }) => ({ name, about: "agent", act: () => go(of(name)) }));
  const tasks = may("operate") ? active.map(({ name }) => ({ name: `New task for ${name}`, about: "do", act: () => go(`${of(name)}/tasks`).then(newTask) })) : [];
  const steering = may("manage_queues") ? active.map(({ name, status }) => (status === "paused"
    ? { name: `Resume ${name}`, about: "do", act: () => done(`${of(name)}/resume`) }
    : { name: `Pause ${name}`, about: "do", act: () => done(`${of(name)}/pause`) })) : [];
  return [pages, tasks, steering];
}

/// What can be done at once, as the words are typed; a moment later, what they find. Each word has to stand
/// in what is offered.
function look(words) {
  const own = looking += 1;
  const parts = words.toLowerCase().split(/\s+/);
  const fits = ({ name, about }) => parts.every((part) => `${name} ${about}`.toLowerCase().includes(part));
  const first = commands().filter(fits);
  [early, pending] = [false, Boolean(words) && may("read")];
  offer(first);
  clearTimeout(look.timer);
  if (pending) look.timer = setTimeout(() => find(own, words, first, fits), TYPING_MS);
}

async function find(own, words, first, fits) {
  const [[{ agents = [] }, { sessions = [] }, { executions: running = [] }], { executions = [] }] = await Promise.all([
    named, asked(`/api/executions?limit=8&q=${encodeURIComponent(`${words}*`)}`),
  ]);
  if (own !== looking) return;
  pending = false;
  const stops = running.map((one) => ({
    name: `Stop ${short(one.message)}`, about: one.agent_name, act: () => done(`${of(one.agent_name)}/executions/${one.execution_id}/stop`),
  }));
  const chats = sessions.map((one) => ({ name: short(one.title ?? "New chat"), about: `chat with ${one.agent_name}`, act: () => go(`/sessions/${one.session_id}`) }));
  const found = [...ofAgents(agents), stops, chats].flatMap((list) => list.filter(fits).slice(0, OFFERED_MAX));
  offer([...first, ...found, ...executions.map((one) => ({
    name: short(one.message), about: `${one.agent_name} · ${one.status}`, act: () => go(`${of(one.agent_name)}/executions/${one.execution_id}`),
  }))]);
  if (early && palette().open) take(0);
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
  if (!offers.length) return;
  palette().close();
  offers[index]?.act();
}

export function start() {
  palette().addEventListener("close", () => { looking += 1; clearTimeout(look.timer); });
  for (const id of ["theme", "palette-open"]) document.getElementById(id).hidden = false;
  document.getElementById("theme").onclick = theme;
  document.getElementById("palette-open").onclick = openPalette;
  document.addEventListener("keydown", onKey);
  const text = document.getElementById("palette-text");
  text.oninput = () => look(text.value.trim());
  text.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); point(chosen + step); }
    if (event.key === "Enter") { event.preventDefault(); if (offers.length || !pending) take(chosen); else early = true; }
  };
}
