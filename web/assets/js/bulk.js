// Choosing many executions of the list: all of a page, a range with Shift, the current row by a key.
import { onArrival } from "./page.js";

let last = null;
const picks = () => [...document.querySelectorAll("#rows .pick")];

function counted() {
  const count = document.getElementById("bulk-count");
  if (!count) return;
  const all = picks(), chosen = all.filter((pick) => pick.checked).length;
  const text = chosen ? `${chosen} chosen` : "";
  if (count.textContent !== text) count.textContent = text;
  const every = document.getElementById("pick-all");
  every.checked = chosen > 0 && chosen === all.length;
  every.indeterminate = chosen > 0 && chosen < all.length;
}

function onChange({ target }) {
  if (target.id === "pick-all") for (const pick of picks()) pick.checked = target.checked;
  if (target.id === "pick-all" || target.matches?.(".pick")) counted();
}

/// With Shift, all between the one that was chosen last and this one.
function onClick(event) {
  if (!event.target.matches?.(".pick")) return;
  const all = picks(), [from, to] = [all.indexOf(last), all.indexOf(event.target)];
  if (event.shiftKey && from >= 0) for (const pick of all.slice(Math.min(from, to), Math.max(from, to) + 1)) pick.checked = event.target.checked;
  last = event.target;
  counted();
}

function onKey(event) {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not(.pick), textarea, select, dialog")) return;
  document.querySelector("#rows .is-current .pick")?.click();
}

export function start() {
  document.addEventListener("change", onChange);
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  document.addEventListener("reset", () => setTimeout(counted));
  onArrival(counted);
  counted();
}
