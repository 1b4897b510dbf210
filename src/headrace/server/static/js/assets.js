/** The static site's list of assets is filtered in the page, and its address says how. */

const form = document.querySelector("[data-filters]");
const rows = [...document.querySelectorAll("table.assets tbody tr")];
const total = document.querySelector("[data-total]");
const texts = rows.map((row) => row.textContent.toLowerCase());
const TESTS = new Set(["test", "unit_test"]);

function apply() {
  const values = Object.fromEntries(new FormData(form));
  const words = (values.search ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const has = (row, name) => !values[name] || row.dataset[name].split("\n").includes(values[name]);
  let count = 0;
  rows.forEach((row, index) => {
    const ofKind = values.kind ? row.dataset.kind === values.kind : !TESTS.has(row.dataset.kind);
    row.hidden = !(ofKind && has(row, "tag") && has(row, "owner") && has(row, "schema")
      && words.every((word) => texts[index].includes(word)));
    if (!row.hidden) count += 1;
  });
  total.textContent = `${count} of ${rows.length}`;
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
  try {
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
  } catch { /* of a page that was opened from a folder the address stays */ }
}

for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements[name]) form.elements[name].value = value;
}
form.querySelector("button").hidden = true;
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
apply();
