// The transcript of one execution: its further parts, its growth, its follower, its search. However long
// it is, a window of it is in the page.
import { following, follows, grew, opened, resume, scrolled, seen, start as listen, toEnd } from "./following.js";
import { onArrival, say } from "./page.js";
import { refresh } from "./times.js";

/// Lines of one part, at most.
const PART_LINES = 400;
/// Lines that stay in the page: beyond them the farthest go.
const LINES_MAX = 40 * PART_LINES;
/// Lines that a follower may be behind before it leaves out what is between.
const BEHIND_MAX = 2000;
/// Lines before one that was looked for.
const BEFORE = 20;
/// Lines that a search finds at most.
const FOUND_MAX = 1000;
/// Between two looks for what a run printed.
const GROW_MS = 200;

let stream = null;
/// Which window is loaded: what was asked for another one is no longer wanted.
let shownWindow = 0;

const section = () => document.getElementById("transcript");
const parts = () => document.getElementById("parts");
function edge(name, list) { for (const part of list) if (part.dataset[name]) return Number(part.dataset[name]); return 0; }
const firstSeq = () => edge("first", parts().children);
const lastSeq = () => edge("last", [...parts().children].reverse());
const hasMore = () => parts().lastElementChild?.hasAttribute("data-more") ?? false;
const isFull = () => lastSeq() - firstSeq() >= LINES_MAX;

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
  while (isFull() && parts().children.length > 1) parts().firstElementChild.remove();
  noted();
  return part.hasAttribute("data-more");
}

/// Has the page show another window: the lines after this one. Not so if that is no longer wanted.
async function showFrom(after, isWanted = () => true) {
  const own = shownWindow += 1;
  const part = await fetched(after);
  if (!part || own !== shownWindow || !section() || !isWanted()) return false;
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
    button.onclick = async () => {
      follows(false);
      await showFrom(Math.max(0, firstSeq() - 1 - PART_LINES));
      section()?.scrollIntoView();
      seen();
      watch();
    };
    note.append(button);
    parts().before(note);
  }
  note.firstElementChild.textContent = `${before.toLocaleString("en")} lines before`;
}

/// The transcript that is followed, or was until the reader scrolled up.
let followed = null;
/// Keeps who follows at the end while the parts take their heights.
const heights = new ResizeObserver(() => requestAnimationFrame(() => { if (section()) grew(); }));

function follow() {
  const own = section();
  const box = document.getElementById("follow");
  document.getElementById("follow-box").hidden = false;
  // The same transcript again, after a form of its page was sent, is followed if it was.
  follows(followed === own ? following : true);
  followed = own;
  // Also of a run that is silent for now the end is what is followed, if it has printed anything.
  if (following && lastSeq()) toEnd(); else { opened(); seen(); }
  heights.observe(parts());
  // What the reader opens may grow without being left.
  parts().onclick = opened;
  let growth = null, again = false, heard = 0;
  // Follows until the reader scrolls up, and again once they are at the end.
  onscroll = () => {
    const to = section() === own && scrolled();
    if (to === "up") follows(false);
    if (to === "end" && !following && stream) { follows(true); grow(); }
  };
  box.onchange = () => { if (!box.checked) { follows(false); return; } resume(); grow(); };
  // Who reads further up is not moved, and gets what comes once they come to it.
  const catchUp = async () => {
    let goesOn = true;
    while (goesOn && section() === own && (following || !hasMore())) {
      if (!following && isFull()) { parts().lastElementChild.setAttribute("data-more", ""); return; }
      const isBehind = following && heard - lastSeq() > BEHIND_MAX;
      goesOn = await (isBehind ? showFrom(heard - PART_LINES, () => following) : more()).catch(() => false);
      if (section() === own) grew(true);
    }
  };
  const growing = async () => {
    while (again && section() === own) {
      again = false;
      await catchUp();
      await new Promise((done) => setTimeout(done, GROW_MS));
    }
    growth = null;
  };
  const grow = () => { again = true; growth ??= growing(); return growth; };
  stream = new EventSource(`/api${section().dataset.address}/stream?after_seq=${lastSeq()}`);
  stream.onmessage = (event) => { heard = Number(event.lastEventId); grow(); };
  stream.addEventListener("end", async (event) => {
    stream.close();
    stream = null;
    await grow();
    if (section() !== own) return;
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
  if (event.key !== "End" || event.ctrlKey || event.altKey || event.shiftKey || !section() || !(stream || hasMore()) || event.target.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  // Of a run that goes on the end is what is followed.
  if (stream) { const box = document.getElementById("follow"); if (box.checked) resume(); else box.click(); return; }
  const lines = Number(section().dataset.lines);
  if (!lines) { toEnd(); return; }
  await showFrom(Math.max(0, lines - PART_LINES));
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
    follows(false);
    await reveal(hits[at], words);
    // It is the search that scrolled: also where it came to the end, that is not followed.
    seen();
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
  heights.disconnect();
  onscroll = null;
  shownWindow += 1;
  globalThis.CSS?.highlights?.delete("found");
  if (!section()) return;
  search();
  if (section().hasAttribute("data-live")) follow(); else watch();
}

export function start() {
  document.addEventListener("keydown", end);
  listen();
  onArrival(arrive);
  arrive();
}
