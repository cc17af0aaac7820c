// Times relative to now, with the exact time of the reader's zone on hover; what runs counts on.
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12], ["year", Infinity]];
/// What is a month or a year away is seldom in the next one.
const counted = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
const named = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/// "Tomorrow" is a day of the calendar, in the reader's zone: never what is merely 24 to 36 hours away.
function days(at) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(at) - midnight(Date.now())) / 86_400_000);
}

function ago(at) {
  let amount = (at - Date.now()) / 1000;
  if (Math.abs(amount) < 5) return "now";
  for (const [unit, size] of STEPS) {
    if (Math.abs(amount) < size) return unit === "day" ? named.format(days(at), unit) : counted.format(Math.round(amount), unit);
    amount /= size;
  }
  return "";
}

function running(since) {
  const s = Math.max(0, Math.floor((Date.now() - since) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}

export function refresh(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    const text = ago(at);
    if (time.textContent !== text) time.textContent = text;
    time.title = exact.format(at);
  }
  for (const since of root.querySelectorAll("[data-since]")) {
    const at = Date.parse(since.dataset.since);
    if (!Number.isNaN(at)) since.textContent = running(at);
  }
  for (const until of root.querySelectorAll("[data-until]")) {
    const left = Math.ceil((Date.parse(until.dataset.until) - Date.now()) / 1000);
    if (!Number.isNaN(left)) until.textContent = left > 0 ? `${left} s left` : "over";
  }
}

export function start() {
  refresh();
  setInterval(() => { if (!document.hidden) refresh(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
}
