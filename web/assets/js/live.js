// Follows the ledger by its WebSocket: says whether it does, and has what is shown follow too.
import { isOfOther, morph, now, onArrival, say } from "./page.js";
import { refresh } from "./times.js";

const WORDS = { live: "Live", "catching-up": "Catching up", offline: "Offline", off: "Not live" };
const RETRY_MS = [500, 1000, 2000, 5000, 10000];
let last = null;
let failures = 0;
let wanted = false;
let after = null;
let working = false;
/// What is told when something happened, beside the page that is shown.
const told = [];

export function onNews(act) { told.push(act); }

function state(name) {
  const live = document.getElementById("live");
  live.dataset.state = name;
  live.querySelector(".live-text").textContent = WORDS[name];
}

/// How often it is looked whether the ledger is still there: a connection may end without a word.
const CHECK_MS = 20_000;
/// How long its answer may take.
const ANSWER_MS = 5000;
/// Before a page that could not be had is asked for again.
const AGAIN_MS = 2000;
/// What happened is in the log at once, and a moment later in what is shown.
const FOLD_MS = 60;
let socket = null, retry;

function connect() {
  clearTimeout(retry);
  const address = new URL("/ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.searchParams.set("changes", "true");
  if (last) address.searchParams.set("last_event_id", last);
  const own = new WebSocket(address);
  socket = own;
  // What was missed is not seen yet: it is live once it is.
  own.onopen = () => { failures = 0; state("catching-up"); want(); };
  own.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.position) last = news.position;
    want();
  };
  own.onclose = () => lost(own);
}

function lost(own) {
  if (own !== socket) return;
  socket = null;
  own.onopen = own.onmessage = own.onclose = null;
  own.close();
  state(navigator.onLine && failures < 1 ? "catching-up" : "offline");
  // A position that is refused, of another log perhaps, must not keep the page from ever following.
  if (failures > 2) last = null;
  retry = setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
}

/// Whether the ledger is still there.
async function check() {
  const own = socket;
  if (document.hidden || own?.readyState !== WebSocket.OPEN) return;
  const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
  if (!answer?.ok) { failures += 1; lost(own); }
}

/// Something happened: what is shown follows, twice a second at most, and only while it is looked at.
/// With a position, what is shown is as of then at least.
export function want(position) {
  wanted = true;
  after = position ?? after;
  if (!working && !document.hidden) work();
}

async function work() {
  working = true;
  while (wanted && !document.hidden) {
    await new Promise((done) => setTimeout(done, FOLD_MS));
    wanted = false;
    const page = await now(after);
    if (page && (isOfOther(page) || !page.getElementById("places"))) { signedOut(); break; }
    if (page) follow(page); else setTimeout(want, AGAIN_MS);
    if (page && socket?.readyState === WebSocket.OPEN) state("live");
    for (const act of told) act();
    await new Promise((done) => setTimeout(done, 500));
  }
  working = false;
}

function signedOut() {
  state("offline");
  say("You are signed out. Load the page again to sign in.");
}

/// Whether something was typed or chosen on the page that was not sent yet.
function isFilledIn() {
  return [...document.querySelectorAll("main :is(input, textarea, select):not([data-keeps])")].some((field) => (field.options
    ? [...field.options].some((one) => one.defaultSelected && !one.selected)
    : field.value !== field.defaultValue || field.checked !== field.defaultChecked));
}

function follow(page) {
  const rows = document.getElementById("rows");
  const next = page.getElementById("rows");
  const parts = [...document.querySelectorAll("main [data-follows]")];
  const isList = rows && next && isRead();
  if (isList) { morph(page, "#totals"); inPlace(rows, next, page); }
  if (parts.length) {
    // Of these pages the marked parts follow, and all else, a form perhaps, stays as it is.
    for (const part of parts) if (!isList || !part.contains(rows)) morph(page, `#${part.id}`);
    marked();
  } else if (isList) { /* Done. */ } else if (document.getElementById("facts")) {
    for (const part of ["#state", "#answer", "#facts", "#happened", "#actions"]) morph(page, part);
  } else if (!document.querySelector("main :is(input, textarea):focus") && !isFilledIn()) { morph(page); marked(); }
  counted();
  refresh();
}

/// Whether somebody reads the list: then nothing may move.
function isRead() {
  const list = document.getElementById("rows").closest(".table-wrap") ?? document.getElementById("rows");
  return scrollY > 40 || list.matches(":hover") || list.contains(document.activeElement) || String(getSelection()) !== ""
    || list.querySelector(".pick:checked") !== null;
}

/// A row as it is now, with what the reader has chosen in it.
function renew(old, row) {
  const kept = [...old.querySelectorAll("[data-keeps]")];
  old.replaceChildren(...row.cloneNode(true).childNodes);
  for (const [at, next] of old.querySelectorAll("[data-keeps]").entries()) if (kept[at]) next.replaceWith(kept[at]);
}

/// Changes the rows that are there, and says how many there would be more.
function inPlace(rows, next, page) {
  let fresh = 0;
  for (const row of next.children) {
    const old = document.getElementById(row.id);
    if (!old) fresh += 1; else if (old.innerHTML !== row.innerHTML) { refresh(row); renew(old, row); old.dataset.status = row.dataset.status; }
  }
  const news = document.getElementById("news");
  if (!news) return;
  news.hidden = fresh === 0;
  const button = news.querySelector("button");
  button.textContent = `${fresh} new ${(news.dataset.of ?? "execution executions").split(" ")[fresh === 1 ? 0 : 1]}`;
  button.onclick = () => { news.hidden = true; morph(page, rows.closest("[data-follows]") ? `#${rows.closest("[data-follows]").id}` : "main"); refresh(); scrollTo({ top: 0 }); };
}

let known = new Set();
function marked() {
  const ids = [...document.querySelectorAll("#rows > [id]")].map((row) => row.id);
  if (known.size) for (const id of ids) if (!known.has(id)) document.getElementById(id).classList.add("is-new");
  known = new Set(ids);
}

/// How many run, beside the name of the list.
async function counted() {
  const answer = await fetch("/api/executions/stats?status=running").catch(() => null);
  if (!answer?.ok) return;
  const { running } = await answer.json();
  for (const count of document.querySelectorAll("#running-count, [data-counts-running]")) {
    count.textContent = running;
    count.hidden = running === 0;
  }
}

export function start() {
  marked();
  counted();
  onArrival(() => { after = null; known = new Set(); marked(); counted(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { check(); if (wanted) want(); } });
  for (const name of ["online", "offline"]) addEventListener(name, check);
  setInterval(check, CHECK_MS);
  // Whoever may not watch is not told that the ledger were gone.
  if ((document.getElementById("palette").dataset.rights ?? "read").split(" ").includes("read")) connect();
}
