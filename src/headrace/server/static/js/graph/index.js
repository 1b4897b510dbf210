/** The lineage page: what is shown, what is chosen, and the keys that change it. */

import { columnPath, loadColumns, loadGraph, within } from "./data.js";
import { attachFinder } from "./find.js";
import { Panel } from "./panel.js";
import { attach } from "./pointer.js";
import { failed, loading } from "../states.js";
import { makeScene, mark } from "./scene.js";
import { View } from "./view.js";

const ALL = 1500; // up to so many nodes, all are shown at first
const MOST = 6000; // more are never shown at once
const STEPS = 2;
const READABLE = 0.42; // from this scale on names can be read
const READABLE_COLUMNS = 0.6; // and names of columns
const ENOUGH = 80; // around an asset, fewer steps where these would be more

class Lineage {
  constructor(place, graph) {
    this.place = place;
    this.root = place.dataset.root;
    this.graph = graph;
    this.visible = new Set();
    this.asked = new Set(); // shown although they are among the folded
    this.chosen = null;
    this.origin = null; // of the path: whose column it is
    this.column = null;
    this.related = null;
    this.columns = null;
    this.path = null;
    this.onlyPath = false;
    this.indirect = true;
    this.hits = new Set();
    this.overlay = "";
    const find = (name) => place.querySelector(`[data-part=${name}]`);
    this.parts = Object.fromEntries(["stage", "canvas", "say", "search", "found", "count", "only", "indirect",
      "clear", "all", "fold", "overlay", "column-tools", "hint"].map((name) => [name, find(name)]));
    this.view = new View(this.parts.canvas);
    this.panel = new Panel(find("panel"), this);
    this.bind();
  }

  async start() {
    const query = new URLSearchParams(location.search);
    const asset = query.get("asset") ?? this.place.dataset.asset;
    const shown = query.get("overlay");
    if ([...this.parts.overlay.options].some((one) => one.value === shown)) this.parts.overlay.value = this.overlay = shown;
    const column = query.get("column") ?? this.place.dataset.column;
    const node = asset ? this.graph.at.get(asset) : undefined;
    if (node === undefined) {
      if (asset) this.say("There is no such asset in the graph.");
      if (this.graph.count <= ALL) this.showAll();
      else this.nothing();
      return;
    }
    this.around(node);
    this.choose(node);
    if (column) await this.chooseColumn(node, column);
    this.view.fit();
    this.readable(node);
  }

  /** Too many to show unasked. */
  nothing() {
    this.panel.begin();
    this.parts.hint.hidden = false;
    this.parts.all.disabled = this.graph.count > MOST;
    this.parts.count.textContent = `${this.graph.count} assets`;
    this.say(`${this.graph.count} assets: search for one, or choose one of the list, to begin.`);
  }

  /** Where all would be too small to read, begin near the asset. */
  readable(node) {
    const least = this.path ? READABLE_COLUMNS : READABLE;
    if (this.view.scale >= least) return;
    this.view.centre(this.scene.local.get(node), { least });
    this.say(`${this.parts.say.textContent} A part is shown: Fit, or the key 0, shows all of it.`);
  }

  showAll() {
    this.visible = new Set(this.graph.ids.keys());
    this.layout();
    this.view.fit();
    this.panel.show(this.chosen);
    this.say(`The whole graph: ${this.graph.count} assets. ${this.graph.count ? "Arrow keys walk along its edges." : ""}`);
  }

  around(node) {
    this.asked.add(node);
    for (let steps = STEPS; steps > 0; steps -= 1) {
      const up = within(this.graph.parents, node, steps);
      const down = within(this.graph.children, node, steps);
      this.visible = new Set([...up, ...down]);
      if (this.visible.size <= ENOUGH) break;
    }
    this.layout();
  }

  layout() {
    const shown = this.onlyPath && this.path ? [...this.path.columns.keys()] : this.drawn();
    this.scene = makeScene(this.graph, shown, this.marks());
    this.view.show(this.scene);
    const hidden = this.onlyPath ? 0 : this.visible.size - shown.length;
    this.parts.count.textContent = `${this.scene.nodes.length} of ${this.graph.count} assets${hidden ? `, ${hidden} folded` : ""}`;
    this.parts.all.disabled = this.visible.size === this.graph.count || this.graph.count > MOST;
    this.parts.hint.hidden = this.scene.nodes.length > 0 || this.graph.count === 0;
  }

  /** Without what is folded, unless it was asked for. */
  drawn() {
    return [...this.visible].filter((node) => !this.isFolded(node));
  }

  isFolded(node) {
    return this.parts.fold.checked && this.graph.folded.has(node) && node !== this.chosen && !this.asked.has(node)
      && !this.path?.columns.has(node);
  }

  hiddenOf(nodes) {
    return nodes.filter((one) => !this.visible.has(one) || this.isFolded(one));
  }

  marks() {
    return {
      path: this.path, names: this.columns?.names ?? null, chosen: this.chosen,
      origin: this.origin, column: this.column, related: this.related, hits: this.hits,
      overlay: this.overlay,
    };
  }

  remark() {
    if (!this.scene) return;
    mark(this.scene, this.marks());
    this.view.ask();
  }

  /** Lay out again with one node staying where it is on the screen. */
  anchored(node, change) {
    const before = this.scene?.local.has(node) ? this.view.box(this.scene.local.get(node)) : null;
    change();
    this.layout();
    if (!before) return;
    const after = this.view.box(this.scene.local.get(node));
    this.view.pan(before.left - after.left, before.top - after.top);
  }

  choose(node, { centre = false } = {}) {
    if (this.path && (node === null || !this.path.columns.has(node))) this.clearColumn();
    this.chosen = node;
    this.related = node === null ? null : new Set([
      ...within(this.graph.parents, node, Infinity), ...within(this.graph.children, node, Infinity)]);
    this.remark();
    if (centre && node !== null) this.view.centre(this.scene.local.get(node), { least: 0.75, onlyIfOutside: this.view.scale > 0.6 });
    this.panel.show(node);
    this.address();
    if (node !== null) this.say(this.describe(node));
  }

  describe(node) {
    const { names, kinds, parents, children, failing } = this.graph;
    const fails = failing[node] ? `, ${failing[node]} failing tests` : "";
    return `${names[node]}, ${kinds[node]}, ${parents[node].length} upstream, ${children[node].length} downstream${fails}.`;
  }

  /** Go to a node: show it, and all around it if it is not there yet. */
  goto(node) {
    this.parts.found.hidden = true;
    if (!this.scene?.local.has(node)) {
      this.asked.add(node);
      if (this.visible.size && this.visible.size < MOST && this.touches(node)) this.anchored(this.chosen, () => this.visible.add(node));
      else this.around(node);
    }
    this.choose(node);
    this.view.centre(this.scene.local.get(node));
    this.parts.stage.focus();
  }

  touches(node) {
    return [...this.graph.parents[node], ...this.graph.children[node]].some((other) => this.visible.has(other));
  }

  expand(node, way) {
    const all = (way === "up" ? this.graph.parents : this.graph.children)[node];
    const more = this.hiddenOf(all);
    if (more.length === 0) {
      this.say(`Nothing more ${way === "up" ? "upstream" : "downstream"} of ${this.graph.names[node]}.`);
      return;
    }
    this.anchored(node, () => {
      this.onlyPath = this.parts.only.checked = false;
      more.forEach((one) => {
        this.visible.add(one);
        this.asked.add(one);
      });
    });
    this.choose(node);
    this.say(`${more.length} more shown ${way === "up" ? "upstream" : "downstream"} of ${this.graph.names[node]}.`);
  }

  async ensureColumns() {
    if (!this.columns) this.columns = await loadColumns(this.root);
    return this.columns;
  }

  /** The columns of a graph that is not huge, before anybody asks for them. */
  async ahead() {
    if (this.graph.count > ALL || this.columns) return;
    await this.ensureColumns().catch(() => {});
    if (!this.path && !this.panel.place.contains(document.activeElement)) this.panel.show(this.chosen);
  }

  async chooseColumn(node, name) {
    const columns = await this.ensureColumns();
    const index = typeof name === "number" ? name
      : columns.names[node].findIndex((one) => one.toLowerCase() === name.toLowerCase());
    if (index < 0) return;
    if (this.chosen !== node) this.choose(node);
    this.origin = node;
    this.column = index;
    this.walk();
    this.address();
  }

  walk() {
    const node = this.origin;
    this.path = columnPath(this.graph, this.columns, node, this.column, { indirect: this.indirect });
    this.anchored(node, () => this.path.columns.forEach((_, one) => this.visible.add(one)));
    this.parts["column-tools"].hidden = false;
    this.place.dataset.column = this.columns.names[node][this.column];
    this.panel.show(node);
    const count = this.path.columns.size - 1;
    this.say(`Column ${this.columns.names[node][this.column]} of ${this.graph.names[node]}: its path touches ${count} other assets.`);
  }

  clearColumn() {
    if (!this.path) return;
    this.path = null;
    this.origin = null;
    this.column = null;
    this.onlyPath = this.parts.only.checked = false;
    this.parts["column-tools"].hidden = true;
    delete this.place.dataset.column;
    this.anchored(this.chosen, () => {});
    this.panel.show(this.chosen);
    this.address();
  }

  address() {
    const query = new URLSearchParams();
    const node = this.origin ?? this.chosen;
    if (node !== null) query.set("asset", this.graph.ids[node]);
    if (this.overlay) query.set("overlay", this.overlay);
    if (this.path) query.set("column", this.columns.names[node][this.column]);
    const text = query.toString();
    try {
      history.replaceState(null, "", text ? `?${text}` : location.pathname);
    } catch { /* of a page that was opened from a folder the address stays */ }
  }

  say(text) {
    this.parts.say.textContent = text;
  }

  open(node) {
    location.href = this.graph.pages[node];
  }

  bind() {
    const { stage, only, indirect, clear, all } = this.parts;
    attach(this);
    attachFinder(this);
    stage.addEventListener("keydown", (event) => this.key(event));
    only.addEventListener("change", () => {
      this.anchored(this.chosen, () => { this.onlyPath = only.checked; });
      this.view.fit();
    });
    indirect.addEventListener("change", () => {
      this.indirect = indirect.checked;
      this.walk();
    });
    clear.addEventListener("click", () => this.clearColumn());
    this.parts.overlay.addEventListener("change", () => {
      this.overlay = this.parts.overlay.value;
      this.address();
      if (this.scene) this.anchored(this.chosen, () => {});
    });
    all.addEventListener("click", () => this.showAll());
    this.parts.fold.addEventListener("change", () => {
      this.asked.clear();
      if (this.scene) this.anchored(this.chosen, () => {});
    });
    const button = (name, act) => this.place.querySelector(`[data-do=${name}]`).addEventListener("click", act);
    button("in", () => this.view.zoom(1.3));
    button("out", () => this.view.zoom(1 / 1.3));
    button("fit", () => this.view.fit());
    document.addEventListener("themechange", () => this.view.recolour());
    for (const media of ["(prefers-color-scheme: dark)", "print"]) {
      matchMedia(media).addEventListener("change", () => this.view.recolour({ now: media === "print" }));
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      "+": () => this.view.zoom(1.3), "=": () => this.view.zoom(1.3), "-": () => this.view.zoom(1 / 1.3),
      0: () => this.view.fit(), "/": () => this.parts.search.focus(), Escape: () => this.escape(),
      Enter: () => this.chosen !== null && this.open(this.chosen),
      ArrowLeft: () => this.step("parents", event.shiftKey), ArrowRight: () => this.step("children", event.shiftKey),
      ArrowUp: () => this.sideways(-1), ArrowDown: () => this.sideways(1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  escape() {
    if (this.path) this.clearColumn();
    else this.choose(null);
  }

  /** Along an edge to the nearest neighbour; with Shift, show more there. */
  step(way, more) {
    if (this.chosen === null) return this.begin();
    if (more) return this.expand(this.chosen, way === "parents" ? "up" : "down");
    const { local, y } = this.scene;
    const here = y[local.get(this.chosen)];
    const near = this.graph[way][this.chosen].filter((node) => local.has(node))
      .sort((one, two) => Math.abs(y[local.get(one)] - here) - Math.abs(y[local.get(two)] - here));
    const onPath = near.find((node) => this.path?.columns.has(node));
    if (near.length) this.choose(onPath ?? near[0], { centre: true });
    else this.say(`${this.describe(this.chosen)} Nothing is shown there; Shift and the arrow key show more.`);
    return undefined;
  }

  /** To the next node of the same layer. */
  sideways(step) {
    if (this.chosen === null) return this.begin();
    const { local, layer, y, nodes } = this.scene;
    const here = local.get(this.chosen);
    const column = nodes.map((_, node) => node).filter((node) => layer[node] === layer[here])
      .sort((one, two) => y[one] - y[two]);
    const next = column[column.indexOf(here) + step];
    if (next !== undefined) this.choose(nodes[next], { centre: true });
    return undefined;
  }

  begin() {
    if (this.scene?.nodes.length) this.choose(this.scene.nodes[0], { centre: true });
  }
}

async function main() {
  const place = document.querySelector("[data-graph]");
  if (!place) return;
  const notice = place.querySelector("[data-part=notice]");
  loading(notice, "Loading the graph…");
  try {
    const lineage = new Lineage(place, await loadGraph(place.dataset.root));
    await lineage.start();
    notice.remove();
    place.lineage = lineage;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      performance.mark("graph-ready");
      place.dataset.ready = "true";
      lineage.ahead();
    }));
  } catch (error) {
    failed(notice, `The graph could not be loaded: ${error.message}. The table below says the same.`, () => location.reload());
    throw error;
  }
}

main();
