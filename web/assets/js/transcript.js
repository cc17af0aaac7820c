// The transcript of one execution: its further parts, its growth, its follower, its search. However long
// it is, a window of it is in the page.
import { onArrival, say } from "./page.js";
import { refresh } from "./times.js";

/// Parts that stay in the page: beyond them the farthest go. A part has 400 lines at most.
const PARTS_MAX = 40;
/// Lines that a follower may be behind before it leaves out what is between.
const BEHIND_MAX = 2000;
/// Lines before one that was looked for.
const BEFORE = 20;
/// Lines that a search finds at most.
const FOUND_MAX = 1000;

let stream = null;
/// Which window is loaded: what was asked for another one is no longer wanted.
let shownWindow = 0;

const section = () => document.getElementById("transcript");
const parts = () => document.getElementById("parts");
function edge(name, list) { for (const part of list) if (part.dataset[name]) return Number(part.dataset[name]); return 0; }
const firstSeq = () => edge("first", parts().children);
const lastSeq = () => edge("last", [...parts().children].reverse());
const hasMore = () => parts().lastElementChild?.hasAttribute("data-more") ?? false;

async function fetched(after) {
  const response = await fetch(`${section().dataset.address}/transcript?after_seq=${after}`, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = page.querySelector("#parts .part");
  if (!part?.dataset.last) return null;
  refresh(part);
  return document.adoptNode(part);
}

/// The next part, after what is shown; whether there is more after it.
async function more() {
  const [after, own] = [lastSeq(), shownWindow];
  const part = await fetched(after);
  if (!part || own !== shownWindow || !section() || lastSeq() !== after) return false;
  section().querySelector(".nothing-printed")?.remove();
  parts().append(part);
  while (parts().children.length > PARTS_MAX) parts().firstElementChild.remove();
  noted();
  return part.hasAttribute("data-more");
}

/// Has the page show another window: the lines after this one.
async function showFrom(after) {
  const own = shownWindow += 1;
  const part = await fetched(after);
  if (!part || own !== shownWindow || !section()) return false;
  parts().replaceChildren(part);
  noted();
  return true;
}

/// Says that there are lines before the window, and shows them where asked to.
function noted() {
  let note = document.getElementById("earlier");
  const before = firstSeq() - 1;
  if (before <= 0) { note?.remove(); return; }
  if (!note) {
    note = document.createElement("p");
    note.id = "earlier";
    note.className = "window-note";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.onclick = async () => { await showFrom(Math.max(0, firstSeq() - 1 - 400)); section().scrollIntoView(); watch(); };
    note.append(button);
    parts().before(note);
  }
  note.firstElementChild.textContent = `${before.toLocaleString("en")} lines before`;
}

const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 120;
function toEnd() { scrollTo({ top: document.documentElement.scrollHeight }); }

function follow() {
  const box = document.getElementById("follow");
  document.getElementById("follow-box").hidden = false;
  let growing = false, again = false, heard = 0;
  // Follows until the reader scrolls up, and again once they are at the end.
  onscroll = () => { if (section()) box.checked = atEnd(); };
  box.onchange = () => { if (box.checked) { toEnd(); grow(); } };
  const grow = async () => {
    if (growing) { again = true; return; }
    growing = true;
    do {
      again = false;
      const stay = box.checked;
      if (stay && heard - lastSeq() > BEHIND_MAX) await showFrom(heard - 400);
      // Who reads further up is not moved, and gets what comes once they come to it.
      if (stay || !hasMore()) while (await more().catch(() => false) && box.checked === stay && heard - lastSeq() <= BEHIND_MAX) { /* The next part. */ }
      if (stay && section()) { toEnd(); box.checked = true; }
      await new Promise((done) => setTimeout(done, 200));
    } while (again && section());
    growing = false;
  };
  stream = new EventSource(`/api${section().dataset.address}/stream?after_seq=${lastSeq()}`);
  stream.onmessage = (event) => { heard = Number(event.lastEventId); grow(); };
  stream.addEventListener("end", async (event) => {
    stream.close();
    stream = null;
    await grow();
    ended();
    say(`The run ${JSON.parse(event.data).status}.`);
  });
}

function ended() {
  const live = document.getElementById("transcript-live");
  if (!live) return;
  live.dataset.state = "ended";
  live.querySelector(".live-text").textContent = "Ended";
  document.getElementById("follow-box").hidden = true;
  onscroll = null;
  watch();
}

let watcher = null;
/// Loads further parts as the reader comes near their end.
function watch() {
  watcher?.disconnect();
  if (!section() || section().hasAttribute("data-live") && stream) return;
  document.getElementById("more-parts")?.remove();
  let end = document.getElementById("parts-end");
  if (!end) {
    end = document.createElement("div");
    end.id = "parts-end";
    parts().after(end);
  }
  let loading = false;
  watcher = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting || loading || !section() || !hasMore()) return;
    loading = true;
    await more().catch(() => false);
    loading = false;
    if (!end.isConnected) return;
    watcher.unobserve(end);
    watcher.observe(end);
  }, { rootMargin: "1500px" });
  watcher.observe(end);
}

/// The last lines, by a key: without loading all that is before them.
async function end(event) {
  if (event.key !== "End" || event.ctrlKey || event.altKey || event.shiftKey || !section() || !hasMore() || event.target.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  const lines = Number(section().dataset.lines);
  if (!lines) { toEnd(); return; }
  await showFrom(Math.max(0, lines - 400));
  toEnd();
  watch();
}

/// The text nodes of an element as one text, with where each begins.
function textOf(element) {
  const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  let text = "";
  while (walk.nextNode()) { nodes.push({ node: walk.currentNode, at: text.length }); text += walk.currentNode.data; }
  return { nodes, text };
}

/// Shows a line, and marks the words in it.
async function reveal(seq, words) {
  if (!(firstSeq() <= seq && seq <= lastSeq()) && !await showFrom(Math.max(0, seq - BEFORE))) return;
  watch();
  const turns = [...parts().querySelectorAll(".turn")].filter((turn) => Number(turn.id.slice(5)) <= seq);
  const own = turns.filter((turn) => turn.id === turns.at(-1)?.id);
  const turn = own.find((one) => one.textContent.toLowerCase().includes(words)) ?? own.at(-1);
  if (!turn) return;
  document.querySelector(".turn.is-found")?.classList.remove("is-found");
  if (turn.matches("details")) turn.open = true;
  const { nodes, text } = textOf(turn);
  const lower = text.toLowerCase();
  let from = 0;
  if (turn.matches(".is-plain")) for (let line = Number(turn.id.slice(5)); line < seq && from >= 0; line += 1) from = lower.indexOf("\n", from) + 1;
  const at = [lower.indexOf(words, from), lower.indexOf(words)].find((found) => found >= 0) ?? -1;
  const place = nodes.findLast((one) => one.at <= at);
  if (at < 0 || !place || !globalThis.CSS?.highlights) { turn.classList.add("is-found"); turn.scrollIntoView({ block: "center" }); return; }
  const range = new Range();
  range.setStart(place.node, at - place.at);
  range.setEnd(place.node, Math.min(place.node.length, at - place.at + words.length));
  CSS.highlights.set("found", new Highlight(range));
  turn.scrollIntoView({ block: "nearest" });
  const box = range.getBoundingClientRect();
  scrollBy({ top: box.top - innerHeight / 2 });
}

function search() {
  const box = document.getElementById("transcript-search");
  if (!box) return;
  const found = document.getElementById("transcript-found");
  let hits = [], at = -1, typing, looking = 0, words = "";
  const show = async (next) => {
    at = (next + hits.length) % hits.length;
    found.textContent = `${at + 1} of ${hits.length === FOUND_MAX ? `${FOUND_MAX} or more` : hits.length}`;
    const follows = document.getElementById("follow");
    if (follows) follows.checked = false;
    await reveal(hits[at], words);
  };
  const look = async () => {
    const own = looking += 1;
    words = box.value.trim().toLowerCase();
    [hits, at] = [[], -1];
    globalThis.CSS?.highlights?.delete("found");
    if (!words) { found.textContent = ""; return; }
    found.textContent = "Looking…";
    const answer = await fetch(`/api${section().dataset.address}/log?limit=${FOUND_MAX}&contains=${encodeURIComponent(words)}`).catch(() => null);
    const lines = answer?.ok ? (await answer.json()).lines : null;
    if (own !== looking) return;
    hits = (lines ?? []).map(({ seq }) => seq);
    if (hits.length) await show(0); else found.textContent = lines ? "Not there" : "It could not be searched";
  };
  box.oninput = () => { clearTimeout(typing); typing = setTimeout(look, 250); };
  box.form.onsubmit = (event) => event.preventDefault();
  box.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (hits.length) show(at + (event.shiftKey ? -1 : 1)); else { clearTimeout(typing); look(); }
  };
}

function arrive() {
  stream?.close();
  stream = null;
  watcher?.disconnect();
  onscroll = null;
  shownWindow += 1;
  globalThis.CSS?.highlights?.delete("found");
  if (!section()) return;
  search();
  if (section().hasAttribute("data-live")) follow(); else watch();
}

export function start() {
  document.addEventListener("keydown", end);
  onArrival(arrive);
  arrive();
}
