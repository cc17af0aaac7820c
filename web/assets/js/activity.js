// The activity panel at the side of every page: the list of its own page, live while it is open.
import { Idiomorph } from "./idiomorph.js";
import { onNews } from "./live.js";
import { onArrival } from "./page.js";
import { refresh } from "./times.js";

/// How many activities are fetched.
const SHOWN = 30;
const PHONE = matchMedia("(max-width: 48rem)");
const drawer = () => document.getElementById("activity-drawer");
let filling = false, again = false;

/// Fills it with what the page of activities shows now. What comes while that is fetched is fetched after.
async function fill() {
  if (!drawer().open) return;
  if (filling) { again = true; return; }
  filling = true;
  const answer = await fetch(`/activity?limit=${SHOWN}`, { headers: { accept: "text/html" } }).catch(() => null);
  const page = answer?.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  const body = document.getElementById("drawer-body");
  const found = page?.querySelector("#rows, main .empty");
  if (found) {
    // The page that is shown may have rows of its own.
    found.removeAttribute("id");
    refresh(found);
    const next = document.createElement("div");
    next.append(document.adoptNode(found));
    Idiomorph.morph(body, next.innerHTML, { morphStyle: "innerHTML" });
  } else if (!body.childElementCount) body.textContent = "The activities can't be shown now. They come as soon as the ledger answers.";
  filling = false;
  if (again) { again = false; fill(); }
}

function toggle(event) {
  // On the page of activities itself there is nothing more to open.
  if (event.ctrlKey || event.metaKey || event.shiftKey || location.pathname === "/activity") return;
  event.preventDefault();
  if (drawer().open) { drawer().close(); return; }
  if (PHONE.matches) drawer().showModal(); else drawer().show();
  document.getElementById("activity-open").setAttribute("aria-expanded", "true");
  fill();
}

export function start() {
  const opener = document.getElementById("activity-open");
  if (!opener) return;
  opener.setAttribute("role", "button");
  opener.setAttribute("aria-expanded", "false");
  opener.addEventListener("click", toggle);
  opener.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); opener.click(); } });
  drawer().addEventListener("close", () => { opener.setAttribute("aria-expanded", "false"); opener.focus({ preventScroll: true }); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && drawer().open && !document.querySelector("dialog:modal, :popover-open")) drawer().close();
  });
  onNews(fill);
  onArrival(() => { if (location.pathname === "/activity" || drawer().matches(":modal")) drawer().close(); });
}
