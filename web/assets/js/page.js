// Going from page to page without losing one's place: what changed is changed, the rest stays.
import { Idiomorph } from "./idiomorph.js";
import { refresh } from "./times.js";

let asked = null;
/// Counts the pages that were asked for by the reader: what was asked for before is out of date.
let changes = 0;
/// Which page is shown: the address bar says so too, but for a moment after one went back.
let shown = location.pathname;
/// What is told when a page has taken the place of another.
const arrived = [];

export function onArrival(act) { arrived.push(act); }

/// What is told before a page goes, with the address that a form was sent to.
const left = [];

export function onLeave(act) { left.push(act); }

export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(said.timer);
  said.timer = setTimeout(() => { said.textContent = ""; }, 6000);
}

/// A page, fetched. Of what was asked before it nothing newer can come.
export async function pageOf(address, options = {}) {
  const got = await fetched(address, options);
  changes += 1;
  return got;
}

async function fetched(address, options = {}) {
  const response = await fetch(address, { headers: { accept: "text/html" }, ...options });
  if (!(response.headers.get("content-type") ?? "").startsWith("text/html")) throw new Error("not a page");
  return { address: response.url, page: new DOMParser().parseFromString(await response.text(), "text/html") };
}

/// What a reader has opened stays open, what they type stays typed.
function keeps(old, next) {
  if (old.nodeType !== 1) return true;
  if (old === document.activeElement && old.matches("input, select, textarea")) return false;
  if (old.matches("[data-keeps]")) return false;
  if (old.matches("details") && old.open !== next.open) next.open = old.open;
  return !old.matches("#parts, [data-own]") || !next.matches?.("#parts, [data-own]");
}

export function morph(page, selector = "main") {
  const [old, next] = [document.querySelector(selector), page.querySelector(selector)];
  if (!old || !next) return false;
  refresh(next);
  Idiomorph.morph(old, next, { callbacks: { beforeNodeMorphed: keeps } });
  return true;
}

/// Whether a page is shown to somebody else: another tab may sign in another user.
export function isOfOther(page) {
  const [own, other] = [document.body.dataset.user, page.body.dataset.user];
  return Boolean(own && other && own !== other);
}

/// Goes to a page. With `replace`, in place of the one that is shown; with `scroll`, to where it was left.
export async function go(address, { replace = false, scroll = 0, options } = {}) {
  let got;
  const sent = options && document.activeElement?.value;
  asked?.abort();
  asked = new AbortController();
  try { got = await pageOf(address, { signal: asked.signal, ...options }); } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
    return;
  }
  const path = new URL(got.address).pathname;
  const same = path === shown;
  if (!got.page.querySelector("#places") || isOfOther(got.page)) { location.assign(got.address); return; }
  if (!same) for (const act of left) act(options ? address : null);
  if (!replace) history.replaceState({ scroll: scrollY }, "");
  history[replace || got.address === location.href ? "replaceState" : "pushState"]({}, "", got.address);
  shown = path;
  document.title = got.page.title;
  document.getElementById("places").hidePopover();
  morph(got.page, "#places");
  if (same) answered(got.page, options, sent); else {
    document.querySelector("main").replaceWith(document.adoptNode(got.page.querySelector("main")));
    scrollTo(0, scroll);
    document.getElementById("main").focus({ preventScroll: true });
  }
  refresh();
  for (const act of arrived) act();
}

/// The same page again. After a form was sent its fields are as the answer has them: empty once it was
/// taken, as they were typed where it was refused; and the reader stays where they were. What they have
/// typed since then is theirs.
function answered(page, options, sent) {
  const field = options ? document.activeElement : null;
  if (field?.value === sent) field?.blur();
  morph(page);
  if (field?.isConnected) field.focus({ preventScroll: true });
}

/// The page that is shown, as it is now, or as of a position at least; nothing where it can't be had.
export async function now(after) {
  // Where the reader changed it meanwhile it is asked for again.
  for (let tries = 0; tries < 3; tries += 1) {
    const before = changes;
    const address = new URL(location.href);
    if (after) address.searchParams.set("wait_for", after);
    try {
      const { page } = await fetched(address);
      if (before === changes) return page;
    } catch { return null; }
  }
  return null;
}

/// What is no page: the interface and its guide, files, the way in.
const NO_PAGES = /^\/(api|docs|assets|openapi\.json|metrics|sign-in|tlog)(\/|$)/;
const isOurs = (link) => link.origin === location.origin && !link.hasAttribute("data-plain") && !link.target
  && !link.download && !NO_PAGES.test(link.pathname);

function onClick(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (!isOurs(link) || (link.hash && link.pathname === location.pathname)) return;
  event.preventDefault();
  go(link.href);
}

function chosen(form) {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  return form.getAttribute("action") + (query.size ? `?${query}` : "");
}

async function onSubmit(event) {
  if (event.defaultPrevented) return;
  const form = event.target;
  if (form.method === "get" && form.id === "filters") { event.preventDefault(); go(chosen(form)); return; }
  if (form.method !== "post") return;
  event.preventDefault();
  const button = event.submitter;
  if (button) button.disabled = true;
  await go(form.action, { options: { method: "POST", body: new URLSearchParams(new FormData(form, button)) } });
  if (button?.isConnected) button.disabled = false;
}

export function start() {
  document.addEventListener("click", onClick);
  document.addEventListener("submit", onSubmit);
  addEventListener("popstate", ({ state }) => go(location.href, { replace: true, scroll: state?.scroll ?? 0 }));
  let typing;
  document.addEventListener("input", (event) => {
    if (event.target.id !== "search") return;
    clearTimeout(typing);
    typing = setTimeout(() => go(chosen(event.target.form), { replace: true }), 250);
  });
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form?.id === "filters" && event.target.id !== "search") go(chosen(form));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) event.target.form?.requestSubmit();
  });
}
