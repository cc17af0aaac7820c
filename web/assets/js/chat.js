// A chat: answers while they are made, the progress of what works in the background, and the box to say more.
import { atEnd, following, follows, grew, opened, resume, scrolled, seen, toEnd } from "./following.js";
import { want } from "./live.js";
import { morph, onArrival, pageOf, say } from "./page.js";
import { refresh } from "./times.js";

/// Parts of an answer that is being made, at most: of a longer one the end is shown.
const PARTS_MAX = 300;
let stream = null;
/// What the runs that go on have said, by execution: since this connection began, which tells all again.
let runs = new Map();
let drawn = false;

const chat = () => document.getElementById("chat");
const box = () => document.getElementById("say-text");

function follow() {
  const own = new EventSource(`/api/sessions/${chat().dataset.session}/stream`);
  stream = own;
  own.onopen = () => { runs = new Map(); };
  own.addEventListener("output", (event) => { heard(JSON.parse(event.data)); });
  for (const kind of ["accepted", "started", "stopping", "ended", "injected", "injection_refused"]) {
    own.addEventListener(kind, (event) => { want(event.lastEventId); });
  }
  own.addEventListener("closed", (event) => { say("This chat was closed."); want(event.lastEventId); });
  own.addEventListener("end", () => own.close());
}

function heard({ execution_id: id, kind, text }) {
  const run = runs.get(id) ?? { parts: [], steps: 0, fresh: 0 };
  runs.set(id, run);
  const last = run.parts.at(-1);
  if (kind === "delta" && last?.kind === "delta") last.text += text; else {
    // A whole text takes the place of its deltas.
    if (kind === "text" && last?.kind === "delta") run.parts.pop();
    run.parts.push({ kind, text });
    if (kind !== "delta") run.steps += 1;
    if (run.parts.length > PARTS_MAX) run.parts.shift();
  }
  run.changed = true;
  if (!drawn) { drawn = true; requestAnimationFrame(draw); }
}

/// Writes what was heard where it belongs; also after the page was changed meanwhile.
function draw() {
  let isSaid = false;
  drawn = false;
  for (const [id, run] of runs) {
    const answer = document.querySelector(`[data-output="${CSS.escape(id)}"]`);
    const progress = document.querySelector(`[data-progress="${CSS.escape(id)}"]`);
    if (answer && (run.changed || answer.querySelector(".thinking"))) { write(answer, run.parts); isSaid = true; }
    if (progress) {
      const words = run.parts.findLast((part) => part.text.trim())?.text.trim().split("\n").at(-1) ?? "";
      const line = `Step ${run.steps} · ${words}`;
      if (progress.textContent !== line) progress.textContent = line;
    }
    run.changed = false;
  }
  grew(isSaid);
  told();
}

/// Only what differs is written: text that somebody marks to copy stays marked.
function write(answer, parts) {
  answer.querySelector(".thinking")?.remove();
  while (answer.children.length > parts.length) answer.firstChild.remove();
  for (const [index, { kind, text }] of parts.entries()) {
    const line = answer.children[index] ?? answer.appendChild(document.createElement("p"));
    const name = kind === "tool" ? "is-tool" : "";
    if (line.className !== name) line.className = name;
    if (line.textContent !== text) line.textContent = text;
  }
}

/// Whoever is not at the end finds the way there.
function told() { const button = document.getElementById("chat-newest"); if (button) button.hidden = following || atEnd(); }

/// Follows until the reader scrolls up, and again once they are at the end.
function onScroll() {
  if (!chat()) return;
  const to = scrolled();
  if (to) follows(to === "end");
  told();
}

/// Sends what was typed: the box stays where it is, and empties once the message was taken.
async function send(form, button) {
  const typed = box().value;
  if (!typed.trim()) return;
  const fields = new URLSearchParams(new FormData(form));
  fields.set("how", button?.value ?? "turn");
  form.setAttribute("aria-busy", "true");
  for (const one of form.querySelectorAll("button")) one.disabled = true;
  try {
    const { page } = await pageOf(form.action, { method: "POST", body: fields });
    if (!page.getElementById("chat")) { location.reload(); return; }
    const trouble = page.querySelector(".chat-foot .trouble");
    document.querySelector(".chat-foot .trouble")?.remove();
    // The next message is another one, also where it says the same.
    const mark = page.querySelector("#say [name=once]");
    if (mark) form.elements.once.value = mark.value;
    if (trouble) form.before(trouble); else if (box().value === typed) box().value = "";
    for (const part of ["#chat-head", "#chat-log", "#chat-state"]) morph(page, part);
    refresh();
    if (!trouble) resume();
    draw();
  } catch { say("It could not be sent. What you typed is still there."); }
  form.removeAttribute("aria-busy");
  for (const one of form.querySelectorAll("button")) one.disabled = false;
}

function onSubmit(event) {
  if (event.target.id !== "say") return;
  event.preventDefault();
  if (!event.target.hasAttribute("aria-busy")) send(event.target, event.submitter);
}

function onKey(event) {
  if (event.target !== box() || event.key !== "Enter" || event.isComposing) return;
  if (event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

let shown = null;
function arrive() {
  const found = chat();
  const key = found && `${found.dataset.session} ${found.hasAttribute("data-live")}`;
  if (key && key === shown?.key && shown.found === found) { draw(); return; }
  shown = found && { key, found };
  stream?.close();
  stream = null;
  runs = new Map();
  grows.disconnect();
  if (!found) return;
  if (found.hasAttribute("data-live")) follow();
  document.getElementById("chat-newest")?.addEventListener("click", () => { resume(); told(); });
  const log = document.getElementById("chat-log");
  // What the reader opens may grow without being left.
  log.addEventListener("click", ({ target }) => { if (target.closest("summary")) opened(); });
  follows(!new URLSearchParams(location.search).has("cursor"));
  if (following) toEnd(); else seen();
  grows.observe(log, { childList: true, subtree: true });
  if (matchMedia("(pointer: fine)").matches) box()?.focus({ preventScroll: true });
}

/// What the page was changed to is filled with what was heard, and kept in sight by whoever is at its end.
const grows = new MutationObserver(draw);

export function start() {
  document.addEventListener("submit", onSubmit, true);
  document.addEventListener("keydown", onKey, true);
  addEventListener("scroll", onScroll, { passive: true });
  onArrival(arrive);
  arrive();
}
