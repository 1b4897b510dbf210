/** What every page has: colours, the quick search, sortable tables, times. */

import { addressedForm } from "./address.js";
import { follow } from "./live.js";
import { quickSearch } from "./quick.js";
import { sortable } from "./sort.js";

const AGAIN_MS = 1000;

const root = document.documentElement;
const { headrace } = globalThis;

function theme() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme ?? (system.matches ? "dark" : "light");
  const label = () => button.setAttribute("aria-label", `Use ${now() === "dark" ? "light" : "dark"} colours`);
  label();
  system.addEventListener("change", label);
  button.addEventListener("click", () => {
    const next = now() === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    headrace.keep("headrace-theme", next);
    label();
    document.dispatchEvent(new Event("themechange"));
  });
}

/** How times are shown is chosen once, for all pages: how long ago, in UTC, in the reader's own zone. */
function timesChoice() {
  const button = document.querySelector("[data-times]");
  if (!button) return;
  const names = { ago: "ago", utc: "UTC", local: "local" };
  const next = { ago: "utc", utc: "local", local: "ago" };
  const label = () => {
    button.textContent = `Times: ${names[headrace.way]}`;
    button.title = `Local is ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
    button.setAttribute("aria-label", `Times: ${names[headrace.way]}; show ${names[next[headrace.way]]}`);
  };
  label();
  button.addEventListener("click", () => {
    headrace.way = next[headrace.way];
    label();
  });
}

/** A long table shows its first rows, and on a phone its main columns; buttons below it show the rest. */
function unfolding() {
  for (const button of document.querySelectorAll("[data-unfold]")) {
    button.addEventListener("click", () => {
      const box = button.parentNode.previousElementSibling;
      if (button.dataset.unfold === "minor") box.classList.add("all-columns");
      else box.classList.remove("folded");
      button.remove();
      box.focus({ preventScroll: true });
    });
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
  addressedForm(form, apply);
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
      if (![202, 503].includes(answer.status)) return location.reload();
    } catch { /* the server is away: it may come back */ }
    return again();
  }, AGAIN_MS);
}

/** The rows of a table that are shown can be copied as CSV. */
function copyCsv() {
  if (!navigator.clipboard) return;
  for (const table of document.querySelectorAll("table[data-copy-csv]")) {
    const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const value = (cell) => (cell.querySelector("[data-null]") ? "" : quoted(cell.textContent));
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button plain-button small";
    button.textContent = "Copy as CSV";
    button.addEventListener("click", async () => {
      const lines = [...table.rows].map((row) => [...row.cells].map(value).join(","));
      try {
        await navigator.clipboard.writeText(`${lines.join("\n")}\n`);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy as CSV"; }, 2000);
    });
    table.closest("section").querySelector("[data-csv-place]").append(" ", button);
  }
}

function inside() {
  headrace.times();
  unfolding();
  submitOnChange();
  changeFilters();
  sortable();
  copyable();
  copyCsv();
}

theme();
timesChoice();
inside();
follow(() => {
  inside();
  document.dispatchEvent(new Event("headrace:shown"));
});
again();
quickSearch(root.dataset.root);
