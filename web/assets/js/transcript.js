// The transcript of one execution: its further parts, its growth, its follower, its search.
import { onArrival, say } from "./page.js";
import { refresh } from "./times.js";

let stream = null;

function section() { return document.getElementById("transcript"); }

function lastSeq() {
  const parts = document.querySelectorAll("#parts .part");
  for (const part of [...parts].reverse()) if (part.dataset.last) return Number(part.dataset.last);
  return 0;
}

/// The next part, after what is shown; whether there is more after it.
async function more() {
  const after = lastSeq();
  const response = await fetch(`${section().dataset.address}/transcript?after_seq=${after}`, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = page.querySelector("#parts .part");
  if (!part || !part.dataset.last || lastSeq() !== after) return false;
  refresh(part);
  section().querySelector(".nothing-printed")?.remove();
  document.getElementById("parts").append(document.adoptNode(part));
  return part.hasAttribute("data-more");
}

const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 120;
function toEnd() { scrollTo({ top: document.documentElement.scrollHeight }); }

function follow() {
  const box = document.getElementById("follow");
  document.getElementById("follow-box").hidden = false;
  let growing = false, again = false;
  // Follows until the reader scrolls up, and again once they are at the end.
  onscroll = () => { if (section()) box.checked = atEnd(); };
  const grow = async () => {
    if (growing) { again = true; return; }
    growing = true;
    do {
      again = false;
      const stay = box.checked;
      while (await more().catch(() => false)) { /* The next part. */ }
      if (stay && section()) toEnd();
      await new Promise((done) => setTimeout(done, 200));
    } while (again);
    growing = false;
  };
  stream = new EventSource(`/api${section().dataset.address}/stream?after_seq=${lastSeq()}`);
  stream.onmessage = grow;
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
}

/// Loads further parts as the reader comes near their end.
function scrolled() {
  const link = document.querySelector("#more-parts");
  if (!link) return;
  link.hidden = true;
  let loading = false;
  const watch = new IntersectionObserver(async ([seen]) => {
    if (!seen.isIntersecting || loading || !section()) return;
    loading = true;
    const goesOn = await more().catch(() => false);
    loading = false;
    watch.disconnect();
    if (goesOn) watch.observe(end); else end.remove();
  }, { rootMargin: "1500px" });
  const end = document.createElement("div");
  document.getElementById("parts").after(end);
  watch.observe(end);
}

function search() {
  const box = document.getElementById("transcript-search");
  if (!box) return;
  box.closest("label").hidden = false;
  const found = document.getElementById("transcript-found");
  let hits = [], at = -1, typing;
  const show = (next) => {
    hits[at]?.classList.remove("is-found");
    at = (next + hits.length) % hits.length;
    const hit = hits[at];
    hit.classList.add("is-found");
    if (hit.matches("details")) hit.open = true;
    hit.scrollIntoView({ block: "center" });
    found.textContent = `${at + 1} of ${hits.length}`;
  };
  const look = async () => {
    const words = box.value.trim().toLowerCase();
    hits[at]?.classList.remove("is-found");
    [hits, at] = [[], -1];
    if (!words) { found.textContent = ""; return; }
    found.textContent = "Looking…";
    for (let parts = 0; parts < 500 && document.querySelector("#parts .part:last-child[data-more]"); parts += 1) if (!await more().catch(() => false)) break;
    hits = [...document.querySelectorAll("#parts .turn")].filter((turn) => turn.textContent.toLowerCase().includes(words));
    if (hits.length) show(0); else found.textContent = "Not there";
  };
  box.oninput = () => { clearTimeout(typing); typing = setTimeout(look, 250); };
  box.onkeydown = (event) => { if (event.key === "Enter" && hits.length) { event.preventDefault(); show(at + (event.shiftKey ? -1 : 1)); } };
}

function arrive() {
  stream?.close();
  stream = null;
  onscroll = null;
  if (!section()) return;
  search();
  if (section().hasAttribute("data-live")) follow(); else scrolled();
}

export function start() {
  onArrival(arrive);
  arrive();
}
