/** Tables whose heads sort them; the first press sorts upwards, the third gives the first order back. */

import { address, addressed } from "./address.js";

const order = new Intl.Collator("en", { numeric: true });
let isListening = false;

export function sortable() {
  tables().forEach((table, number) => {
    if (table.tBodies[0].rows.length < 3 && !table.dataset.sortable) return;
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row, place) => { row.dataset.place ??= String(place); });
    for (const head of table.tHead.rows[0].cells) {
      if (head.querySelector("button.sort") || !head.textContent.trim()) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => press(table, number, head));
    }
  });
  read();
  if (!isListening) addEventListener("popstate", read);
  isListening = true;
}

const tables = () => [...document.querySelectorAll("table[data-sortable]")];
const slug = (head) => head.textContent.trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
const prefix = (number) => (number ? `${number + 1}.` : "");

/** Sort as the address says: `sort=tests`, `sort=-tests` downwards, `sort=2.tests` of the second table. */
function read() {
  const asked = addressed().getAll("sort");
  tables().forEach((table, number) => {
    const mine = asked.map((one) => /^(-?)(?:(\d+)\.)?(.+)$/.exec(one))
      .find((found) => found && (Number(found[2]) || 1) === number + 1);
    const heads = [...table.tHead.rows[0].cells];
    const head = mine && heads.find((one) => slug(one) === mine[3]);
    sort(table, heads, head ?? null, Boolean(mine?.[1]));
  });
}

function press(table, number, head) {
  const was = head.getAttribute("aria-sort");
  const query = addressed();
  const others = query.getAll("sort").filter((one) => (Number(/^-?(\d+)\./.exec(one)?.[1]) || 1) !== number + 1);
  query.delete("sort");
  others.forEach((one) => query.append("sort", one));
  if (was !== "descending") query.append("sort", `${was ? "-" : ""}${prefix(number)}${slug(head)}`);
  if (table.dataset.sortable !== "server") {
    address(query);
    read();
    return;
  }
  query.delete("offset"); // the server sorts what has several pages
  location.search = query.toString();
}

function sort(table, heads, head, down) {
  const before = heads.find((one) => one.hasAttribute("aria-sort"));
  if (!head && !before) return;
  before?.removeAttribute("aria-sort");
  head?.setAttribute("aria-sort", down ? "descending" : "ascending");
  if (table.dataset.sortable === "server") return;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, key: head ? key(row.cells[heads.indexOf(head)]) : Number(row.dataset.place) }));
  rows.sort((one, two) => (one.key === "") - (two.key === "")
    || (typeof one.key === "number" && typeof two.key === "number"
      ? one.key - two.key : order.compare(String(one.key), String(two.key))) * (down ? -1 : 1));
  body.append(...rows.map(({ row }) => row));
}

function key(cell) {
  const text = (cell.dataset.value ?? cell.querySelector("time")?.dateTime ?? cell.textContent).trim();
  const number = Number(text.replaceAll(",", ""));
  return text !== "" && !Number.isNaN(number) ? number : text;
}
