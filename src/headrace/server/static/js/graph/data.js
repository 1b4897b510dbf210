/** The graph's data: nodes and edges at once, columns when they are first asked for. */

import { pageData } from "../page_data.js";

export const DIRECT = new Set(["copied", "renamed", "computed", "aggregated"]);
export const ROWS = -1;

/**
 * The graph of tables and models.
 *
 * `parents` and `children` hold node numbers; `at` gives an id's number.
 */
export async function loadGraph(root) {
  const raw = await pageData(root, "graph");
  const count = raw.ids.length;
  const parents = Array.from({ length: count }, () => []);
  const children = Array.from({ length: count }, () => []);
  for (let index = 0; index < raw.edges.length; index += 2) {
    const [parent, child] = [raw.edges[index], raw.edges[index + 1]];
    parents[child].push(parent);
    children[parent].push(child);
  }
  const kinds = raw.kinds.map((kind) => raw.kind_names[kind]);
  // a resource that fills one table says what the table says; dlt's own tables are read by every staging model
  const folded = new Set([...raw.ids.keys()].filter((node) => raw.names[node].startsWith("_dlt_")
    || (kinds[node] === "resource" && children[node].length === 1)));
  return {
    count,
    folded,
    ids: raw.ids,
    names: raw.names,
    kinds,
    relations: raw.relations,
    pages: raw.pages.map((page) => root + page),
    failing: raw.failing,
    ranks: raw.ranks,
    overlays: raw.overlays,
    parents,
    children,
    at: new Map(raw.ids.map((id, index) => [id, index])),
  };
}

/** What an overlay says of a node, short enough for its box; empty where that is not known. */
export function overlayText(graph, name, node) {
  const value = graph.overlays[name]?.[node] ?? null;
  if (value === null) return "";
  if (name === "rows") return new Intl.NumberFormat("en", { notation: "compact" }).format(value);
  if (name === "seconds") return value < 100 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`;
  if (name !== "freshness") return value;
  const hours = Math.max(0, (Date.now() / 1000 - value) / 3600);
  return hours < 1 ? `${Math.round(hours * 60)} min` : hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

/** Names of all columns by node, and the column edges by both ends. */
export async function loadColumns(root) {
  const raw = await pageData(root, "columns");
  const into = new Map();
  const out = new Map();
  const put = (map, node, edge) => {
    if (map.has(node)) map.get(node).push(edge);
    else map.set(node, [edge]);
  };
  for (let index = 0; index < raw.edges.length; index += 5) {
    const [parent, from, child, to, kind] = raw.edges.slice(index, index + 5);
    const edge = { parent, from, child, to, kind: raw.kind_names[kind] };
    put(into, child, edge);
    put(out, parent, edge);
  }
  return { names: raw.names, pii: new Set(raw.pii), into, out };
}

/** All nodes within so many steps, in one direction. */
export function within(neighbours, start, steps) {
  const seen = new Set([start]);
  let edge = [start];
  for (let step = 0; step < steps && edge.length; step += 1) {
    edge = edge.flatMap((node) => neighbours[node]).filter((node) => !seen.has(node) && seen.add(node));
  }
  return seen;
}

/**
 * The path of a column: all that it is made from, and all that is made from it.
 *
 * The steps are those of `headrace lineage`: along each column edge; from the rows of an asset to
 * the rows of all that read it; from anything to the exposures that read it; and, upwards, from a
 * column to the rows of its own asset. What is reached by values alone is direct; beyond a filter,
 * a join or the like all is indirect.
 *
 * @returns {{columns: Map<number, Map<number, boolean>>, links: object[]}} by node its columns on
 *   the path and whether they are direct; and the edges
 */
export function columnPath(graph, columns, node, column, { indirect }) {
  const found = new Map([[node, new Map([[column, true]])]]);
  const links = new Map();
  for (const way of ["up", "down"]) {
    const state = new Map([[`${node} ${column}`, true]]);
    const queue = [[node, column, true]];
    for (let next = 0; next < queue.length; next += 1) {
      const [here, name, direct] = queue[next];
      for (const [other, spot, flows, edge] of steps(graph, columns, here, name, way, indirect)) {
        const value = direct && flows;
        if (edge) {
          const key = `${edge.parent} ${edge.from} ${edge.child} ${edge.to} ${edge.kind}`;
          links.set(key, { ...edge, direct: value || (links.get(key)?.direct ?? false) });
        }
        const key = `${other} ${spot}`;
        if (state.get(key) || (state.has(key) && !value)) continue;
        state.set(key, value);
        if (!found.has(other)) found.set(other, new Map());
        found.get(other).set(spot, value || (found.get(other).get(spot) ?? false));
        queue.push([other, spot, value]);
      }
    }
  }
  return { columns: found, links: [...links.values()] };
}

/** One step from a column, or from the rows of an asset: where, whether values flow, the edge. */
function* steps(graph, columns, node, column, way, indirect) {
  const up = way === "up";
  for (const edge of (up ? columns.into : columns.out).get(node) ?? []) {
    if ((up ? edge.to : edge.from) !== column) continue;
    const flows = DIRECT.has(edge.kind) && edge.from !== ROWS && edge.to !== ROWS;
    if (flows || indirect) yield [up ? edge.parent : edge.child, up ? edge.from : edge.to, flows, edge];
  }
  if (up && indirect && column !== ROWS) yield [node, ROWS, false, null];
  for (const other of (up ? graph.parents : graph.children)[node]) {
    const seen = !up && graph.kinds[other] === "exposure";
    if (!seen && !(indirect && column === ROWS)) continue;
    const edge = up ? { parent: other, from: ROWS, child: node, to: ROWS, kind: "reads" }
      : { parent: node, from: column, child: other, to: ROWS, kind: "reads" };
    yield [other, ROWS, seen, edge];
  }
}
