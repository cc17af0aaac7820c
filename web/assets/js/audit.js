// The slider through time, and the check of the history with its progress.
import { go, onArrival, say } from "./page.js";

let stream = null;
const byId = (id) => document.getElementById(id);
const number = (value) => new Intl.NumberFormat("en").format(value);

/// Moves while one drags: the page of the last position that was reached, four times a second at most.
function slide(event) {
  const slider = event.target;
  if (slider.id !== "slider") return;
  byId("moment-at").textContent = slider.value;
  slider.setAttribute("aria-valuetext", `event ${slider.value}`);
  clearTimeout(slide.timer);
  slide.timer = setTimeout(() => go(`${slider.form.getAttribute("action")}?at=${slider.value}`, { replace: true }), 250);
}

function made(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

/// The report as the server's own page shows it.
function show(report) {
  const extra = (count, what) => (count ? ` (${number(count)} ${what})` : "");
  const counts = [
    ["Events", `${number(report.events)} in ${number(report.streams)} streams`],
    ["Texts", number(report.contents) + extra(report.contents_erased, "erased")],
    ["Tiles", number(report.tiles) + extra(report.tiles_missing, "missing")],
    ["Checkpoints", `${number(report.checkpoints)}, the last of ${number(report.signed_events)} events`],
    ["Transcripts", number(report.transcripts) + extra(report.transcripts_absent, "not here") + extra(report.transcripts_erased, "erased")],
    ["Tree", report.root],
    ["Key", (report.key ?? "none") + extra(report.keys_before.length, "before it")],
  ];
  if (report.cosignatures) counts.push(["Witnesses", `${number(report.cosignatures)} signatures, the last checkpoint with enough of them of ${number(report.witnessed_events)} events`]);
  if (report.clocks_apart) counts.push(["Clocks", `of ${number(report.clocks_apart)} events a little behind another node's, by ${number(report.clocks_apart_ms)} ms at most`]);
  const parts = [made("p", report.sound ? "Nothing is wrong" : "Something is wrong", report.sound ? "verdict is-sound" : "verdict is-wrong")];
  if (report.problems.length) {
    const list = made("ul", undefined, "findings");
    for (const { check, place, problem } of report.problems) {
      const item = document.createElement("li");
      item.append(made("b", check.replaceAll("_", " ")), " ", made("code", place), made("div", problem));
      list.append(item);
    }
    parts.push(list);
  }
  if (report.problems_untold) parts.push(made("p", `and ${number(report.problems_untold)} more`));
  const facts = made("dl", undefined, "facts");
  for (const [name, value] of counts) facts.append(made("dt", name), made("dd", value));
  parts.push(facts, made("p", "Read models are compared by execution-ledger verify where no server runs.", "quiet"));
  byId("verify-report").replaceChildren(...parts);
}

function over(why) {
  stream?.close();
  stream = null;
  if (!byId("verify-form")) return;
  byId("verify-going").hidden = true;
  byId("verify-stop").hidden = true;
  byId("verify-form").querySelector("button").disabled = false;
  if (why) byId("verify-report").replaceChildren(made("p", why, "is-bad"));
}

function check(event) {
  const form = event.target;
  if (form.id !== "verify-form") return;
  event.preventDefault();
  event.stopImmediatePropagation();
  over();
  form.querySelector("button").disabled = true;
  byId("verify-report").replaceChildren();
  byId("verify-going").hidden = false;
  byId("verify-stop").hidden = false;
  byId("verify-bar").removeAttribute("value");
  byId("verify-far").textContent = "Beginning…";
  stream = new EventSource(form.dataset.verifies);
  stream.addEventListener("progress", ({ data }) => {
    const { events, position, head } = JSON.parse(data);
    if (!head || !byId("verify-bar")) return;
    byId("verify-bar").value = position / head;
    byId("verify-far").textContent = `${number(events)} events checked, ${Math.floor((position * 100) / head)} %`;
  });
  stream.addEventListener("report", ({ data }) => { over(); if (byId("verify-report")) { show(JSON.parse(data)); say("The history was checked"); } });
  stream.addEventListener("close", ({ data }) => over(JSON.parse(data).detail));
  stream.onerror = () => over("The check was cut off: another one goes on, or the ledger can't be reached. Try again in a few seconds.");
}

export function start() {
  document.addEventListener("input", slide);
  document.addEventListener("submit", check, { capture: true });
  document.addEventListener("click", ({ target }) => { if (target.id === "verify-stop") over("Stopped."); });
  // Who leaves the page ends their check.
  onArrival(() => { if (stream && !byId("verify-form")) over(); });
}
