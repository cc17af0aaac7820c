// Whether a transcript or a chat that grows is followed: until its reader scrolls up, and again from its
// end on.

/// Pixels above the end where a reader who comes back to it has come to it.
const NEAR = 40;
/// The keys that scroll up.
const UPWARD = ["ArrowUp", "PageUp", "Home"];
/// How long after a key or a finger the page may still move by it.
const GLIDE_MS = 300;

const height = () => document.documentElement.scrollHeight;
/// Pixels below what is in sight.
const below = () => height() - innerHeight - scrollY;
export const atEnd = () => below() <= NEAR;

export let following = false;
export function follows(on) {
  following = on;
  const box = document.getElementById("follow");
  if (box) box.checked = on;
}

/// Where the page was, and how tall, when that was looked at last.
let [top, tall] = [0, 0];
export function seen() { [top, tall] = [scrollY, height()]; }

/// Whether the page was put to its end, and the reader has opened nothing since.
let placed = false;
export function toEnd() { scrollTo({ top: height() }); placed = true; seen(); }

/// When the reader last had it followed again, by the box or a key.
let resumed = -Infinity;
export function resume() { resumed = performance.now(); follows(true); toEnd(); }

/// What the reader opens may grow without being left.
export function opened() { placed = false; }

/// The page has grown, by lines, or by itself: a part has its true height only once it is in sight.
export function grew(byLines = false) { if (following && (byLines || placed)) toEnd(); else tall = height(); }

/// Whether the reader scrolled: up, or down to the end. The browser tells of every scrolling alike, and
/// late: also of ours, of one before this page was shown, and of what became of the place as heights changed.
export function scrolled() {
  const [up, down] = [top - scrollY, scrollY - top];
  // The rest of an earlier way up.
  if (following && up > 0 && performance.now() - resumed < GLIDE_MS) { toEnd(); return null; }
  const isSame = Math.abs(height() - tall) <= 1;
  if (up > 1 || down > 0) seen();
  if (up > 1 && below() > 1 && (isSame || performance.now() - touched < GLIDE_MS)) return "up";
  return down > 0 && below() <= (isSame ? NEAR : 1) ? "end" : null;
}

/// When a finger moved on the page.
let touched = -Infinity;

/// The wheel and the keys say themselves what the reader wants, also while the page changes under them.
function pulled(event) {
  const isUp = event.type === "wheel" ? event.deltaY < 0 && !event.shiftKey : UPWARD.includes(event.key);
  if (!isUp || !following || scrollY <= 0 || event.ctrlKey || event.target.closest?.("input, textarea, select, dialog")) return;
  const isInner = (one) => one instanceof Element && one !== document.scrollingElement && one.scrollTop > 0;
  if (!event.composedPath().some(isInner)) follows(false);
}

export function start() {
  for (const kind of ["wheel", "keydown"]) addEventListener(kind, pulled, { passive: true });
  addEventListener("touchmove", () => { touched = performance.now(); }, { passive: true });
}
