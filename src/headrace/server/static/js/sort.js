/** Tables whose heads sort them; the first press sorts upwards. */

export function sortable() {
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    if (table.tBodies[0].rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, column, head));
    });
  }
}

function sort(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, key: key(row.cells[column]) }));
  const order = new Intl.Collator("en", { numeric: true });
  rows.sort((one, two) => (typeof one.key === "number" && typeof two.key === "number"
    ? one.key - two.key : order.compare(String(one.key), String(two.key))) * (down ? -1 : 1));
  body.append(...rows.map(({ row }) => row));
}

function key(cell) {
  const text = (cell.dataset.value ?? cell.querySelector("time")?.dateTime ?? cell.textContent).trim();
  const number = Number(text.replaceAll(",", ""));
  return text !== "" && !Number.isNaN(number) ? number : text;
}
