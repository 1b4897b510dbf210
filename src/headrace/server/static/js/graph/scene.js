/** What is drawn: the visible nodes with their places, columns, edges and marks. */

import { NODE_WIDTH, place } from "./layout.js";
import { HEAD, ROW } from "./camera.js";
import { overlayText, ROWS } from "./data.js";

/**
 * Make a scene.
 *
 * @param {object} graph of data.js
 * @param {Iterable<number>} visible node numbers
 * @param {{path: object | null, names: string[][] | null, chosen: number | null,
 *   origin: number | null, column: number | null, related: Set<number> | null, hits: Set<number>}} marks
 */
export function makeScene(graph, visible, marks) {
  const nodes = [...visible].sort((one, two) => one - two);
  const local = new Map(nodes.map((node, index) => [node, index]));
  const rows = nodes.map((node) => rowsOf(node, marks));
  const height = Float64Array.from(rows, (shown) => HEAD + shown.length * ROW + (shown.length ? 3 : 0));
  const edges = [];
  nodes.forEach((node, child) => {
    for (const parent of graph.parents[node]) if (local.has(parent)) edges.push([local.get(parent), child]);
  });
  const { x, y, layer, routes } = place(nodes.length, edges, height);
  const links = (marks.path?.links ?? [])
    .filter((link) => local.has(link.parent) && local.has(link.child))
    .map((link) => ({ ...link, parent: local.get(link.parent), child: local.get(link.child) }));
  const hidden = (neighbours) => neighbours.filter((node) => !local.has(node)).length;
  const scene = {
    nodes, local, rows, height, edges, x, y, layer, routes, links, width: NODE_WIDTH,
    more: nodes.map((node) => ({ up: hidden(graph.parents[node]), down: hidden(graph.children[node]) })),
    name: (node) => graph.names[nodes[node]],
    kind: (node) => graph.kinds[nodes[node]],
    told: (node) => (marks.overlay ? overlayText(graph, marks.overlay, nodes[node]) : ""),
    mood: (node) => (marks.overlay === "verdict" ? graph.overlays.mood[nodes[node]] : null),
    failing: (node) => graph.failing[nodes[node]] > 0,
  };
  mark(scene, marks);
  const degree = (node) => graph.parents[nodes[node]].length + graph.children[nodes[node]].length;
  const order = nodes.map((_, node) => node).sort((one, two) => degree(two) - degree(one));
  scene.ranked = () => [...order.filter((node) => node === scene.chosen || scene.hit(node)), ...order];
  return scene;
}

/** Say which nodes are chosen, found or in the background; the places stay. */
export function mark(scene, { path, chosen, related, hits }) {
  const { nodes, local } = scene;
  const on = path ? new Set(path.columns.keys()) : related;
  scene.chosen = local.get(chosen) ?? -1;
  scene.dims = on !== null;
  scene.dim = (node) => on !== null && !on.has(nodes[node]) && !hits.has(nodes[node]);
  scene.hit = (node) => hits.has(nodes[node]);
  scene.strong = ([parent, child]) =>
    !path && on !== null && on.has(nodes[parent]) && on.has(nodes[child]);
}

function rowsOf(node, { path, names, origin, column: chosen }) {
  const columns = path?.columns.get(node);
  if (!columns) return [];
  return [...columns].sort(([one], [two]) => one - two).map(([column, direct]) => ({
    column,
    direct,
    name: column === ROWS ? "(rows)" : names[node][column],
    chosen: node === origin && column === chosen,
  }));
}
