/** Runs before the page is painted, so that neither its colours nor its times change before the reader's eyes. */

const headrace = (() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(name);
    } catch { // no storage: what the system says
      return null;
    }
  };
  const keep = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch { /* it lasts for this page */ }
  };

  const theme = kept("headrace-theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;

  const WAYS = ["ago", "utc", "local"];
  const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const distance = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const format = (zone, precise) => new Intl.DateTimeFormat("en-CA", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    timeZoneName: "short", ...(precise ? { second: "2-digit" } : {}), ...(zone ? { timeZone: zone } : {}),
  });
  const formats = { utc: [format("UTC"), format("UTC", true)], local: [format(), format(null, true)] };
  let way = WAYS.includes(kept("headrace-times")) ? kept("headrace-times") : "ago";

  /** A time in words of the way that was chosen; `precise` has seconds. */
  function text(iso, chosen = way, precise = false) {
    const at = new Date(iso);
    if (Number.isNaN(at.getTime())) return iso;
    if (chosen === "ago") {
      const seconds = (at - Date.now()) / 1000;
      const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
      return unit === "second" ? "just now" : distance.format(Math.trunc(seconds / size), unit);
    }
    const part = Object.fromEntries(formats[chosen][precise ? 1 : 0].formatToParts(at).map(({ type, value }) => [type, value]));
    return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}${precise ? `:${part.second}` : ""} ${part.timeZoneName}`;
  }

  /** Show a time: `data-ago` may be a distance, `data-at` is a point in time, `data-clock` one within a run. */
  function show(time) {
    const iso = time.dateTime ?? time.dataset.clock;
    const { ago, clock } = time.dataset;
    const chosen = way === "ago" && ago === undefined ? "utc" : way;
    const whole = text(iso, chosen, clock !== undefined);
    time.textContent = clock === undefined ? whole : whole.split(" ")[1];
    time.title = chosen === "ago" ? `${text(iso, "utc")} · ${text(iso, "local")}` : whole;
  }

  const TIMES = "time[data-ago], time[data-at], [data-clock]";
  const zone = (head) => { head.textContent = head.textContent.replace(/\(.*\)$/, `(${way === "local" ? text(new Date().toISOString(), "local").split(" ")[2] : "UTC"})`); };

  /** Show all times below a node, and the zone in the heads of tables. */
  function times(below = document) {
    below.querySelectorAll(TIMES).forEach(show);
    below.querySelectorAll("[data-zone]").forEach(zone);
  }

  // while the page is parsed, each time is shown as soon as it is whole
  let rest = 0;
  const seen = new MutationObserver(() => {
    const found = document.querySelectorAll(TIMES);
    for (; rest < found.length - 1; rest += 1) show(found[rest]);
  });
  seen.observe(document, { childList: true, subtree: true });
  document.addEventListener("DOMContentLoaded", () => {
    seen.disconnect();
    times();
  });

  return {
    keep,
    text,
    times,
    get way() { return way; },
    set way(chosen) {
      way = chosen;
      keep("headrace-times", chosen);
      times();
    },
  };
})();
globalThis.headrace = headrace;
