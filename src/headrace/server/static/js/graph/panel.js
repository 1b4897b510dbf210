/** The list beside the graph: the chosen asset, its columns, and what it touches. */

import { overlayText } from "./data.js";

const SHOWN = 60;
const FIRST = 12; // of each kind of place to begin at

export class Panel {
  constructor(place, lineage) {
    this.place = place;
    this.lineage = lineage;
  }

  show(node) {
    const { lineage } = this;
    if (node === null) {
      this.begin();
      return;
    }
    const { graph } = lineage;
    const title = make("h2", { class: "panel-title" }, link(graph.pages[node], graph.names[node]));
    const about = make("p", { class: "muted" },
      badge(graph.kinds[node]), " ", make("bdi", {}, graph.relations[node] ?? ""));
    const fails = graph.failing[node]
      ? [make("p", { class: "bad" }, `${graph.failing[node]} failing ${graph.failing[node] === 1 ? "test" : "tests"}`)] : [];
    const known = Object.entries({ verdict: "Verdict", freshness: "Loaded or built", rows: "Rows", seconds: "Run time" })
      .map(([name, label]) => [label, overlayText(graph, name, node), name]).filter(([, text]) => text)
      .map(([label, text, name]) => `${label}: ${text}${name === "freshness" ? " ago" : ""}`);
    const facts = known.length ? [make("p", { class: "small" }, known.join(" · "))] : [];
    this.place.replaceChildren(title, about, ...facts, ...fails, this.columns(node),
      this.neighbours(node, "parents", "up", "Upstream"), this.neighbours(node, "children", "down", "Downstream"));
  }

  /** What one may want to look at first. */
  begin() {
    const { graph } = this.lineage;
    const nodes = graph.names.map((_, node) => node);
    const last = (node) => graph.children[node].length === 0 && graph.parents[node].length > 0;
    const groups = [
      ["Tests fail", nodes.filter((node) => graph.failing[node])],
      ["Exposures", nodes.filter((node) => graph.kinds[node] === "exposure")],
      ["Nothing reads these", nodes.filter((node) => last(node) && graph.kinds[node] !== "exposure")],
    ].filter(([, found]) => found.length);
    this.place.replaceChildren(make("h2", { class: "panel-title" }, "Where to begin"),
      make("p", { class: "muted" }, "Choose an asset to see its columns and neighbours."),
      ...groups.map(([title, found]) => make("section", {}, make("h3", {}, `${title} (${found.length})`), this.choices(found, FIRST))));
  }

  columns(node) {
    const { lineage } = this;
    const place = make("section", {}, make("h3", {}, "Columns"));
    if (!lineage.columns) {
      place.append(button("Show columns", async () => {
        await lineage.ensureColumns();
        if (lineage.chosen === node) this.show(node);
        this.place.querySelector("[data-column]")?.focus();
      }, { class: "button small", "data-part": "show-columns" }));
      return place;
    }
    const names = lineage.columns.names[node];
    if (names.length === 0) place.append(make("p", { class: "muted" }, "None are known."));
    const list = make("ul", { class: "plain columns" });
    names.slice(0, 400).forEach((name, column) => {
      const on = lineage.origin === node && lineage.column === column;
      const pii = lineage.columns.pii.has(`${node} ${column}`) ? [" ", make("span", { class: "badge pii" }, "PII")] : [];
      list.append(make("li", {}, button(name, () => {
        if (on) lineage.clearColumn();
        else lineage.chooseColumn(node, column);
        this.place.querySelector(`[data-column="${column}"]`)?.focus();
      }, { "aria-pressed": String(on), "data-column": String(column), class: "chip" }), ...pii));
    });
    place.append(list);
    return place;
  }

  neighbours(node, way, direction, title) {
    const { graph } = this.lineage;
    const all = graph[way][node];
    const hidden = this.lineage.hiddenOf(all).length;
    const place = make("section", {}, make("h3", {}, `${title} (${all.length})`));
    if (hidden) {
      place.append(button(`Show ${hidden} more`, () => this.lineage.expand(node, direction),
        { class: "button small", "data-expand": direction }));
    }
    place.append(this.choices(all, SHOWN));
    return place;
  }

  choices(nodes, most) {
    const list = make("ul", { class: "plain" });
    nodes.slice(0, most).forEach((one) => list.append(this.choice(one)));
    if (nodes.length > most) list.append(make("li", { class: "muted" }, `and ${nodes.length - most} more`));
    return list;
  }

  /** A line that goes to an asset. */
  choice(node) {
    const { graph } = this.lineage;
    return make("li", {}, button(graph.names[node], () => this.lineage.goto(node),
      { class: `choice kind-${graph.kinds[node]}`, title: graph.relations[node] ?? graph.ids[node] }));
  }
}

/** An element; texts stay texts. */
function make(tag, attributes, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

function button(text, act, attributes) {
  const element = make("button", { type: "button", ...attributes }, make("bdi", {}, text));
  element.addEventListener("click", act);
  return element;
}

function link(href, text) {
  return make("a", { href }, make("bdi", {}, text));
}

function badge(kind) {
  return make("span", { class: `badge kind kind-${kind}` }, kind);
}
