/** What every page has: colours, the quick search, sortable tables, times in words. */

import { follow } from "./live.js";
import { quickSearch } from "./quick.js";
import { sortable } from "./sort.js";

const AGAIN_MS = 1000;

const root = document.documentElement;

function theme() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  button.hidden = false;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme ?? (system.matches ? "dark" : "light");
  const label = () => button.setAttribute("aria-label", `Use ${now() === "dark" ? "light" : "dark"} colours`);
  label();
  system.addEventListener("change", label);
  button.addEventListener("click", () => {
    const next = now() === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    try {
      localStorage.setItem("headrace-theme", next);
    } catch { /* it lasts for this page */ }
    label();
    document.dispatchEvent(new Event("themechange"));
  });
}

function ago() {
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
  const units = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ["minute", 60];
    time.title = time.textContent;
    time.textContent = words.format(Math.trunc(seconds / size), unit);
  }
}

function submitOnChange() {
  for (const form of document.querySelectorAll("form[data-submit-on-change]")) {
    form.querySelector("button").hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
  }
}

/** The static site's list of changes is filtered in the page. */
function changeFilters() {
  const form = document.querySelector("[data-change-filters]");
  if (!form || !("static" in root.dataset)) return;
  form.hidden = false;
  const apply = () => {
    const what = form.elements.what.value;
    const words = form.elements.name.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of document.querySelectorAll("[data-group]")) {
      let count = 0;
      for (const line of group.querySelectorAll("li")) {
        const name = line.dataset.name.toLowerCase();
        line.hidden = (what && line.dataset.what !== what) || !words.every((word) => name.includes(word));
        if (!line.hidden) count += 1;
      }
      group.hidden = count === 0;
      group.querySelector("[data-count]").textContent = String(count);
    }
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
}

/** Code can be copied. */
function copyable() {
  if (!navigator.clipboard) return; // a page that came without TLS from another machine
  for (const code of document.querySelectorAll("pre[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button plain-button small copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy: ${code.getAttribute("aria-label")}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.before(button);
  }
}

/** A page that cannot be shown now is asked for again. */
function again() {
  const note = document.querySelector("[data-again-note]");
  if (!note) return;
  note.hidden = false;
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", headers: { accept: "text/html" } });
      if (answer.status !== 503) return location.reload();
    } catch { /* the server is away: it may come back */ }
    return again();
  }, AGAIN_MS);
}

function inside() {
  ago();
  submitOnChange();
  changeFilters();
  sortable();
  copyable();
}

theme();
inside();
follow(() => {
  inside();
  document.dispatchEvent(new Event("headrace:shown"));
});
again();
quickSearch(root.dataset.root);
