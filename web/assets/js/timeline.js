// The timeline under the hand: what runs grows, a card tells of what is pointed at, drag and wheel move it.
import { go, onArrival } from "./page.js";

const SPAN_MIN = 60_000, SPAN_MAX = 400 * 86_400_000;
/// A pointer that moved so far, in pixels, drags.
const DRAG_FROM = 5;
const picture = () => document.getElementById("timeline");
const wired = new WeakSet();
let skew = 0, seen = null, grabbed = null, turned = null;

function shown() {
  const { from, to, now, range, agent } = picture().dataset;
  if (now !== seen) { seen = now; skew = Number(now) - Date.now(); }
  return { from: Number(from), to: Number(to), now: Date.now() + skew, range, agent };
}

/// What runs grows until the window ends; then a window that ends now is asked for again.
function grow() {
  if (document.hidden || !picture() || grabbed) return;
  const { from, to, now, range } = shown();
  const place = (at) => Math.min(100, Math.max(0, (at - from) / (to - from) * 100));
  for (const bar of picture().querySelectorAll("[data-grows]")) bar.setAttribute("width", `${Math.max(0.35, place(now) - place(Number(bar.dataset.grows)))}%`);
  for (const line of picture().querySelectorAll(".now")) for (const end of ["x1", "x2"]) line.setAttribute(end, `${place(now)}%`);
  if (range && now > to) go(location.href, { replace: true });
}

/// Shows another window: never one of nothing but what is to come.
function show(from, to) {
  const { now, agent } = shown();
  const span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, to - from));
  const end = Math.min((from + to) / 2 + span / 2, now + span / 50);
  const at = (ms) => `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const of = agent ? `&agent=${encodeURIComponent(agent)}` : "";
  return go(`/timeline?from=${at(end - span)}&to=${at(end)}${of}`);
}

const width = () => picture().querySelector(".axis")?.getBoundingClientRect().width || 1;
function slide(pixels) {
  for (const lanes of picture().querySelectorAll(".axis, .lanes")) lanes.style.transform = pixels ? `translateX(${pixels}px)` : "";
}

/// Moves the window by as many pixels.
async function moved(pixels) {
  const { from, to } = shown();
  const by = -pixels / width() * (to - from);
  await show(from + by, to + by);
  if (picture()) slide(0);
}

function onWheel(event) {
  const zooms = event.ctrlKey || event.metaKey;
  if (!picture().querySelector(".axis")) return;
  if (!zooms && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
  event.preventDefault();
  const by = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
  turned ??= { pixels: 0, factor: 1 };
  if (zooms) turned.factor *= Math.exp(event.deltaY * 0.004); else { turned.pixels -= by; slide(turned.pixels); }
  const box = picture().querySelector(".axis").getBoundingClientRect();
  const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  clearTimeout(turned.timer);
  turned.timer = setTimeout(() => {
    const { pixels, factor } = turned;
    turned = null;
    if (!picture()) return; // Gone to another page meanwhile.
    if (factor === 1) { moved(pixels); return; }
    const { from, to } = shown();
    const at = from + (to - from) * part;
    show(at - (at - from) * factor, at + (to - at) * factor);
  }, 160);
}

function onGrab(event) {
  if (event.button || !event.target.closest(".axis, .lanes")) return;
  grabbed = { x: event.clientX, pixels: 0, drags: false };
}

function onDrag(event) {
  if (!grabbed) return;
  grabbed.pixels = event.clientX - grabbed.x;
  if (!grabbed.drags && Math.abs(grabbed.pixels) < DRAG_FROM) return;
  if (!grabbed.drags) { grabbed.drags = true; picture()?.setPointerCapture(event.pointerId); hide(); }
  slide(grabbed.pixels);
}

function onLeft() {
  const held = grabbed;
  grabbed = null;
  if (!held?.drags || !picture()) return;
  // What was dragged was not meant to be opened.
  const stop = (event) => { event.preventDefault(); event.stopPropagation(); };
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, { capture: true }), 50);
  moved(held.pixels);
}

const card = () => document.getElementById("bar-card");
function hide() { if (card()) card().hidden = true; }

function tell(event) {
  const link = event.target.closest?.("#timeline .lanes a");
  if (!link || grabbed?.drags || !card()) return;
  // The card takes the place of the browser's own words, which stay for those who hear them.
  const title = link.querySelector("title");
  if (title) { link.setAttribute("aria-label", title.textContent); title.remove(); }
  const [head, ...rest] = link.getAttribute("aria-label").split(" – ");
  const [strong, span] = card().children;
  strong.textContent = [head, ...rest.slice(0, -1)].join(" – ");
  span.textContent = rest.at(-1) ?? "";
  card().hidden = false;
  const [box, own] = [link.getBoundingClientRect(), card().getBoundingClientRect()];
  const x = event.clientX ?? box.left;
  card().style.left = `${Math.max(8, Math.min(x - 20, innerWidth - own.width - 8))}px`;
  card().style.top = `${box.bottom + own.height + 16 < innerHeight ? box.bottom + 8 : box.top - own.height - 8}px`;
}

/// From bar to bar by the arrows: an agent's bars are one stop of the tabulator.
function onKey(event) {
  const link = event.target.closest?.("#timeline .lanes a");
  if (!link) return;
  const lanes = [...picture().querySelectorAll(".lanes")];
  const at = lanes.indexOf(link.closest(".lanes"));
  const links = [...lanes[at].querySelectorAll("a")];
  const next = {
    ArrowRight: () => links[links.indexOf(link) + 1], ArrowLeft: () => links[links.indexOf(link) - 1],
    ArrowDown: () => lanes[at + 1]?.querySelector("a"), ArrowUp: () => lanes[at - 1]?.querySelector("a"),
    Home: () => links[0], End: () => links.at(-1),
  }[event.key]?.();
  if (!next) { if (event.key === "Escape") hide(); return; }
  event.preventDefault();
  for (const other of next.closest(".lanes").querySelectorAll("a[tabindex='0']")) other.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function arrive() {
  hide();
  const own = picture();
  if (!own || wired.has(own)) return;
  wired.add(own);
  own.addEventListener("wheel", onWheel, { passive: false });
  own.addEventListener("pointerdown", onGrab);
  own.addEventListener("dragstart", (event) => event.preventDefault());
  for (const name of ["pointerover", "focusin"]) own.addEventListener(name, tell);
  for (const name of ["pointerout", "focusout"]) own.addEventListener(name, hide);
}

export function start() {
  arrive();
  onArrival(arrive);
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointermove", onDrag);
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, onLeft);
  setInterval(grow, 1000);
}
