/**
 * A layered layout, left to right: longest-path layers, barycentre sweeps, then places.
 *
 * The places of a layer are a least-squares fit to the middle of each node's neighbours under
 * "keep the order, keep apart", which pooling adjacent violators solves exactly
 * (Ayer et al. 1955, https://en.wikipedia.org/wiki/Isotonic_regression).
 */

export const NODE_WIDTH = 190;
const GAP_X = 58;
const GAP_SUB = 14;
const GAP_Y = 10;
const BEND_HEIGHT = 6;
const SWEEPS = 10;
const SETTLES = 12;

/**
 * Place nodes.
 *
 * @param {number} count how many nodes, named 0 to count - 1
 * @param {[number, number][]} edges parent and child
 * @param {ArrayLike<number>} heights of the nodes, in pixels
 * @returns {{x: Float64Array, y: Float64Array, layer: Int32Array, routes: number[][]}} the left
 *   edge and the middle of each node; each edge's bends as x from, x to, y, and so on
 */
export function place(count, edges, heights) {
  const graph = ranked(count, edges);
  const all = withBends(count, edges, graph, heights);
  const layers = inOrder(all);
  const rows = Math.max(40, Math.ceil(Math.sqrt(count) * 2));
  const spread = layers.map((layer) =>
    Math.ceil(layer.filter((node) => node < count).length / rows) || 1);
  const y = settled(all, layers, spread);
  return placed(count, edges, all, layers, spread, y);
}

/** Each node's layer; edges that close a cycle are marked and ignored. */
function ranked(count, edges) {
  const into = Array.from({ length: count }, () => []);
  const out = Array.from({ length: count }, () => []);
  const open = new Int32Array(count);
  edges.forEach(([parent, child], edge) => {
    if (parent === child) return;
    out[parent].push(edge);
    into[child].push(edge);
    open[child] += 1;
  });
  const rank = new Int32Array(count);
  const done = new Uint8Array(count);
  const back = new Uint8Array(edges.length);
  const order = [];
  const queue = [];
  for (let node = 0; node < count; node += 1) if (open[node] === 0) queue.push(node);
  let next = 0;
  while (order.length < count) {
    if (queue.length === 0) {
      while (done[next]) next += 1; // a cycle: start it at its first node
      queue.push(next);
    }
    const node = queue.pop();
    if (done[node]) continue;
    done[node] = 1;
    order.push(node);
    for (const edge of into[node]) if (!done[edges[edge][0]]) back[edge] = 1;
    for (const edge of out[node]) {
      const child = edges[edge][1];
      if (done[child]) continue;
      rank[child] = Math.max(rank[child], rank[node] + 1);
      open[child] -= 1;
      if (open[child] === 0) queue.push(child);
    }
  }
  for (let index = order.length - 1; index >= 0; index -= 1) {
    const node = order[index];
    const forward = out[node].filter((edge) => !back[edge]);
    if (into[node].length === 0 && forward.length > 0) {
      rank[node] = Math.min(...forward.map((edge) => rank[edges[edge][1]])) - 1;
    }
  }
  return { rank, back };
}

/** Long edges get a bend in each layer that they cross; edges of one parent share them. */
function withBends(count, edges, { rank, back }, heights) {
  const height = Array.from(heights);
  const layerOf = Array.from(rank);
  const before = Array.from({ length: count }, () => []);
  const after = Array.from({ length: count }, () => []);
  const chains = new Map();
  const add = (parent, child) => {
    after[parent].push(child);
    before[child].push(parent);
  };
  const routes = edges.map(([parent, child], edge) => {
    if (parent === child || back[edge]) return [];
    const chain = chains.get(parent) ?? [];
    chains.set(parent, chain);
    while (chain.length < rank[child] - rank[parent] - 1) {
      const bend = height.length;
      height.push(BEND_HEIGHT);
      layerOf.push(rank[parent] + chain.length + 1);
      before.push([]);
      after.push([]);
      add(chain.length ? chain[chain.length - 1] : parent, bend);
      chain.push(bend);
    }
    const bends = chain.slice(0, rank[child] - rank[parent] - 1);
    add(bends.length ? bends[bends.length - 1] : parent, child);
    return bends;
  });
  return { count, height, layerOf, before, after, routes };
}

/** The layers, each in an order with few crossings. */
function inOrder({ height, layerOf, before, after }) {
  const layers = Array.from({ length: Math.max(-1, ...layerOf) + 1 }, () => []);
  const seen = new Uint8Array(height.length);
  const visit = (start) => {
    const stack = [start];
    while (stack.length) {
      const node = stack.pop();
      if (seen[node]) continue;
      seen[node] = 1;
      layers[layerOf[node]].push(node);
      for (const other of before[node]) if (!seen[other]) stack.push(other);
      for (const other of after[node]) if (!seen[other]) stack.push(other);
    }
  };
  for (let node = 0; node < height.length; node += 1) visit(node);
  const position = new Float64Array(height.length);
  const number = (layer) => layer.forEach((node, index) => { position[node] = index / layer.length; });
  layers.forEach(number);
  const key = new Float64Array(height.length);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (let step = 1; step < layers.length; step += 1) {
      const layer = layers[down ? step : layers.length - 1 - step];
      for (const node of layer) {
        const others = down ? before[node] : after[node];
        key[node] = others.length ? mean(others, position) : position[node];
      }
      layer.sort((one, two) => key[one] - key[two]);
      number(layer);
    }
  }
  return layers;
}

function mean(nodes, values) {
  let sum = 0;
  for (const node of nodes) sum += values[node];
  return sum / nodes.length;
}

/** The middle of each node. */
function settled({ height, before, after }, layers, spread) {
  const y = new Float64Array(height.length);
  const offsets = layers.map((layer, index) => {
    let edge = 0;
    return layer.map((node, at) => {
      const previous = at ? height[layer[at - 1]] : 0;
      if (at) edge += ((previous + height[node]) / 2 + GAP_Y) / spread[index];
      return edge;
    });
  });
  layers.forEach((layer, index) => layer.forEach((node, at) => {
    y[node] = offsets[index][at] - offsets[index][layer.length - 1] / 2;
  }));
  for (let round = 0; round < SETTLES; round += 1) {
    const down = round % 2 === 0;
    for (let step = 0; step < layers.length; step += 1) {
      const index = down ? step : layers.length - 1 - step;
      const wished = layers[index].map((node) => {
        const near = round < 4 ? (down ? before[node] : after[node]) : before[node].concat(after[node]);
        return near.length ? mean(near, y) : y[node];
      });
      fit(layers[index], wished, offsets[index], y);
    }
  }
  return y;
}

/** The places nearest to the wished ones that keep the order and the distances. */
function fit(layer, wished, offsets, y) {
  const blocks = [];
  layer.forEach((_, at) => {
    let block = { sum: wished[at] - offsets[at], size: 1 };
    while (blocks.length) {
      const last = blocks[blocks.length - 1];
      if (last.sum / last.size < block.sum / block.size) break;
      block = { sum: last.sum + block.sum, size: last.size + block.size };
      blocks.pop();
    }
    blocks.push(block);
  });
  let at = 0;
  for (const { sum, size } of blocks) {
    for (let index = 0; index < size; index += 1, at += 1) y[layer[at]] = sum / size + offsets[at];
  }
}

function placed(count, edges, all, layers, spread, y) {
  const x = new Float64Array(count);
  const layer = new Int32Array(count);
  const left = [];
  let edge = 0;
  layers.forEach((nodes, index) => {
    left.push(edge);
    const bottoms = new Float64Array(spread[index]).fill(-Infinity);
    let column = 0;
    for (const node of nodes) {
      if (node >= count) continue;
      column = free(bottoms, column, y[node] - all.height[node] / 2);
      y[node] = Math.max(y[node], bottoms[column] + GAP_Y + all.height[node] / 2);
      bottoms[column] = y[node] + all.height[node] / 2;
      x[node] = edge + column * (NODE_WIDTH + GAP_SUB);
      layer[node] = index;
    }
    // the more edges pass between two layers, the more room they need
    const room = GAP_X + Math.min(160, nodes.length * 0.6);
    edge += spread[index] * (NODE_WIDTH + GAP_SUB) - GAP_SUB + room;
  });
  const width = (index) => spread[index] * (NODE_WIDTH + GAP_SUB) - GAP_SUB;
  const routes = all.routes.map((bends) => bends.flatMap((bend) => {
    const index = all.layerOf[bend];
    return [left[index], left[index] + width(index), y[bend]];
  }));
  return { x, y: y.slice(0, count), layer, routes };
}

/** The next column of a layer, in turn, that has room from there on; else the one with most. */
function free(bottoms, last, top) {
  let best = 0;
  for (let step = 1; step <= bottoms.length; step += 1) {
    const column = (last + step) % bottoms.length;
    if (bottoms[column] + GAP_Y <= top + 0.001) return column;
    if (bottoms[column] < bottoms[best]) best = column;
  }
  return best;
}
