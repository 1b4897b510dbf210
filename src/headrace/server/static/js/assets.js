/** The static site's list of assets is filtered and ranked in the page, and its address says how. */

import { addressed, addressedForm } from "./address.js";
import { pageData } from "./page_data.js";
import { nameScore } from "./rank.js";

const form = document.querySelector("[data-filters]");
const body = document.querySelector("table.assets tbody");
const rows = [...body?.rows ?? []];
const total = document.querySelector("[data-total]");
const texts = rows.map((row) => row.textContent.toLowerCase());
const names = rows.map((row) => row.querySelector("a.name").textContent.toLowerCase());
const TESTS = new Set(["test", "unit_test"]);
const MATCHED = 3; // columns that a row names as the reason why it was found
let columns = null;

/** Columns are searched too: they are read when words are first asked for. */
async function loadColumns() {
  if (columns) return;
  columns = rows.map(() => []);
  const { root } = document.documentElement.dataset;
  const [graph, known] = await Promise.all([pageData(root, "graph"), pageData(root, "columns")]);
  const at = new Map(graph.pages.map((page, node) => [root + page, node]));
  columns = rows.map((row) => known.names[at.get(row.querySelector("a.name").getAttribute("href"))] ?? []);
  apply();
}

function apply() {
  const values = Object.fromEntries(new FormData(form));
  const words = (values.search ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) loadColumns().catch(() => {});
  const has = (row, name) => !values[name] || row.dataset[name].split("\n").includes(values[name]);
  let count = 0;
  const scored = rows.map((row, index) => {
    const ofKind = values.kind ? row.dataset.kind === values.kind : !TESTS.has(row.dataset.kind);
    const found = words.length && nameScore(names[index], "", words) === 9
      ? (columns?.[index] ?? []).filter((name) => words.some((word) => name.toLowerCase().includes(word))) : [];
    const text = found.length ? `${texts[index]} ${found.join(" ").toLowerCase()}` : texts[index];
    row.hidden = !(ofKind && has(row, "tag") && has(row, "owner") && has(row, "schema")
      && words.every((word) => text.includes(word)));
    if (!row.hidden) count += 1;
    matched(row, row.hidden ? [] : found.slice(0, MATCHED));
    return [words.length ? nameScore(names[index], texts[index], words) : 0, index];
  });
  total.textContent = `${count} of ${rows.length}`;
  if (addressed().has("sort")) return;
  scored.sort(([one, first], [two, second]) => one - two || first - second);
  body.append(...scored.map(([, index]) => rows[index]));
}

/** Name the columns by which a row was found, below its name. */
function matched(row, found) {
  row.querySelector(".matched")?.remove();
  if (!found.length) return;
  const line = document.createElement("p");
  line.className = "small matched";
  line.append(found.length > 1 ? "columns " : "column ");
  found.forEach((name, place) => {
    const code = document.createElement("code");
    code.textContent = name;
    line.append(place ? ", " : "", code);
  });
  row.cells[0].append(line);
}

form.querySelector("button").hidden = true;
if (body) addressedForm(form, apply);
