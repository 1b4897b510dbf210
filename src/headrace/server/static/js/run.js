/** The page of a run: rows that are put in on demand, and a timeline to filter and to zoom. */

const NAMES = 250;
const TAIL = 84;
const ROW = 20;
const WIDE = 960;
const LONGEST = 38;
const TICK_STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
const MARKS = { fail: "✕ ", error: "✕ ", warn: "! ", skipped: "○ " };

/** The rows of a table that are not in the page yet; a browser with scripts keeps them as text. */
function rest(name) {
  const kept = document.querySelector(`noscript[data-rest="${name}"]`);
  if (!kept) return [];
  const made = new DOMParser().parseFromString(kept.textContent, "text/html");
  return [...made.querySelectorAll("tbody > tr")];
}

function unfold() {
  for (const place of document.querySelectorAll("[data-rest-of]")) {
    const name = place.dataset.restOf;
    place.hidden = false;
    place.querySelector("button").addEventListener("click", () => {
      const table = document.getElementById(name);
      table.tBodies[0].append(...rest(name));
      document.querySelector(`noscript[data-rest="${name}"]`).remove();
      place.remove();
      table.closest(".scroll").focus();
      globalThis.headrace?.times();
    });
  }
}

function timeline() {
  const section = document.querySelector("[data-timeline]");
  if (!section) return;
  const tools = section.querySelector("form");
  const svg = section.querySelector("svg");
  const box = section.querySelector(".scroll");
  const axis = svg.querySelector("[data-axis]");
  const first = [...svg.querySelectorAll("g.row")];
  const total = Number(section.dataset.total);
  let all = null;
  let zoom = 1;
  tools.hidden = false;

  /** All rows: the first ones, and one for each other row of the table. */
  function every() {
    if (all) return all;
    const known = new Set(first.map((row) => row.querySelector("a")?.getAttribute("href")).filter(Boolean));
    const model = first.find((row) => row.querySelector("a"));
    const rows = [...document.querySelectorAll("#run-nodes tbody > tr"), ...rest("run-nodes")];
    const others = rows.filter((row) => !known.has(row.querySelector("a")?.getAttribute("href")));
    all = [...first, ...(model ? others.map((row) => drawn(row, model)) : [])];
    all.sort((one, two) => order(one) - order(two));
    return all;
  }

  const order = (row) => (row.dataset.status === "skipped" ? Infinity : Number(row.dataset.at));

  function drawn(row, model) {
    const made = model.cloneNode(true);
    const name = row.querySelector(".name").textContent;
    const marked = `${MARKS[row.dataset.status] ?? ""}${name}`;
    const took = row.querySelector("td.number").textContent;
    made.setAttribute("class", `row is-${row.dataset.kind}${"critical" in row.dataset ? " is-critical" : ""}`);
    for (const key of ["kind", "status", "class"]) made.dataset[key] = row.dataset[key];
    made.dataset.at = row.dataset.at ?? "0";
    made.dataset.took = row.dataset.took ?? "0";
    made.querySelector("title").textContent = `${name} · ${row.dataset.status} · ${took}`;
    const link = made.querySelector("a");
    const target = row.querySelector("a")?.getAttribute("href");
    if (target) link.setAttribute("href", target);
    else link.removeAttribute("href");
    made.querySelector(".title").textContent = marked.length > LONGEST ? `${marked.slice(0, LONGEST - 1)}…` : marked;
    made.querySelector(".took").textContent = "at" in row.dataset ? took : "did not run";
    made.querySelector(".wait")?.remove();
    made.querySelector("rect").setAttribute("class", `bar ${row.dataset.class}${row.dataset.status === "skipped" ? " skipped" : ""}`);
    return made;
  }

  function chosen() {
    const what = tools.elements.what.value;
    const words = tools.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = what || words.length ? every() : first;
    const isWanted = {
      critical: (row) => row.classList.contains("is-critical"),
      bad: (row) => row.dataset.class === "bad",
      skipped: (row) => row.dataset.status === "skipped",
      model: (row) => row.dataset.kind === "model",
      test: (row) => row.dataset.kind.endsWith("test"),
    }[what] ?? (() => true);
    return rows.filter((row) => {
      const text = row.querySelector("title").textContent.toLowerCase();
      return isWanted(row) && words.every((word) => text.includes(word));
    });
  }

  function place() {
    const rows = chosen();
    const per = ((WIDE - NAMES - TAIL) * zoom) / total;
    const width = NAMES + total * per + TAIL;
    const height = rows.length * ROW + 22;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.width = zoom === 1 ? "" : `${(width / WIDE) * 100}%`;
    svg.querySelectorAll("g.row").forEach((row) => row.remove());
    rows.forEach((row, number) => {
      const x = NAMES + Number(row.dataset.at) * per;
      const took = Number(row.dataset.took);
      const length = took || row.dataset.status !== "skipped" ? Math.max(2, took * per) : 0;
      const bar = row.querySelector("rect");
      const wait = row.querySelector(".wait");
      if (wait) {
        wait.dataset.length ??= (Number(wait.getAttribute("x2")) - Number(wait.getAttribute("x1"))) * total / (WIDE - NAMES - TAIL);
        wait.setAttribute("x1", x - Number(wait.dataset.length) * per);
        wait.setAttribute("x2", x);
      }
      row.setAttribute("transform", `translate(0 ${number * ROW})`);
      bar.setAttribute("x", x);
      bar.setAttribute("width", length);
      row.querySelector(".took").setAttribute("x", x + length + 6);
    });
    svg.append(...rows);
    ticks(per, height, rows[0]);
    names();
    section.querySelector("[data-shown]").textContent = `${rows.length} shown`;
  }

  function ticks(per, height) {
    const step = TICK_STEPS.find((one) => total / one <= 6 * zoom) ?? total / 6;
    const line = axis.querySelector("line");
    const text = axis.querySelector("text");
    const made = [];
    for (let at = 0; at <= total + 1e-9; at += step) {
      const grid = line.cloneNode();
      grid.setAttribute("x1", NAMES + at * per);
      grid.setAttribute("x2", NAMES + at * per);
      grid.setAttribute("y2", height - 18);
      const said = text.cloneNode();
      said.setAttribute("x", NAMES + at * per);
      said.setAttribute("y", height - 4);
      said.textContent = `${Number(at.toPrecision(6))} s`;
      made.push(grid, said);
    }
    axis.replaceChildren(...made);
  }

  /** The names stay where they are when the bars scroll. */
  function names() {
    const scale = svg.viewBox.baseVal.width / svg.getBoundingClientRect().width;
    for (const name of svg.querySelectorAll(".title")) name.setAttribute("x", box.scrollLeft * scale);
    svg.classList.toggle("is-scrolled", box.scrollLeft > 0);
  }

  box.addEventListener("scroll", names, { passive: true });
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("input", place);
  for (const button of tools.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const middle = (box.scrollLeft + box.clientWidth / 2) / svg.getBoundingClientRect().width;
      const by = Number(button.dataset.zoom);
      zoom = by ? Math.min(64, Math.max(1, zoom * by)) : 1;
      place();
      box.scrollLeft = middle * svg.getBoundingClientRect().width - box.clientWidth / 2;
      names();
    });
  }
}

function run() {
  unfold();
  timeline();
}
run();
document.addEventListener("headrace:shown", run);
