// What was typed and not sent is there again: after a reload, after another page, on a phone that let go of
// the page. It stays in this tab, is its writer's alone, and leaves with whoever signs out.
import { onArrival, onLeave } from "./page.js";

const FIELDS = "#say-text, #task-message, #new-task textarea";
const PREFIX = "draft ";
/// Whoever this page is shown to: what others typed in this tab before is not theirs to see.
const user = document.body.dataset.user;
const OWN = `${PREFIX}${user} `;
/// Fields that were filled already: what is empty of them later was emptied.
const filled = new WeakSet();
/// Typing that pauses so long is kept, in milliseconds.
const PAUSE_MS = 200;
let signedOut = false;
let path = location.pathname;

const keyOf = (field) => `${OWN}${path} ${field.id || field.name}`;

/// What a browser does not want to keep is not kept.
function keep(key, text) {
  try { if (text.trim()) sessionStorage.setItem(key, text); else sessionStorage.removeItem(key); } catch { /* Full, or not allowed. */ }
}

/// Keeps what stands in the page's fields, but for those that were sent to an address.
function leave(sentTo) {
  if (signedOut) return;
  for (const field of document.querySelectorAll(FIELDS)) keep(keyOf(field), sentTo && field.form?.action === sentTo ? "" : field.value);
}

function arrive() {
  path = location.pathname;
  for (const field of document.querySelectorAll(FIELDS)) {
    if (filled.has(field)) continue;
    filled.add(field);
    try { field.value ||= sessionStorage.getItem(keyOf(field)) ?? ""; } catch { /* Not allowed. */ }
  }
}

let typing;
function typed({ target }) {
  if (!target.matches?.(FIELDS)) return;
  clearTimeout(typing);
  typing = setTimeout(() => { if (target.isConnected) leave(); }, PAUSE_MS);
}

/// Forgets all drafts, but for those that begin so.
function forget(kept = null) {
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX) && !(kept && key.startsWith(kept))) sessionStorage.removeItem(key);
  } catch { /* Not allowed. */ }
}

export function start() {
  // Of whom nothing is known, nothing is kept.
  if (!user) return;
  forget(OWN);
  arrive();
  onArrival(arrive);
  onLeave(leave);
  document.addEventListener("input", typed);
  addEventListener("pagehide", () => leave());
  document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); });
  document.addEventListener("submit", (event) => { if (event.target.matches("form.leave")) { signedOut = true; forget(); } }, true);
}
