/** Which part of a scene is seen, and what of it lies under a point. */

import { NODE_WIDTH } from "./layout.js";

export const HEAD = 30; // pixels of a node's name
export const ROW = 19; // and of each of its columns
export const SMALL = 0.36; // from this scale on names fit into the boxes of an overview
export const NEAR = 0.5; // below this scale single labels cannot be read: an overview is drawn
const LEGEND = 24; // pixels at the foot that the legend takes
const LIMITS = [0.02, 2.5];
const ROOM = 28;

/** A scale and an offset over a scene; `ask` of the class that draws is called at each change. */
export class Camera {
  constructor() {
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.width = 0;
    this.height = 0;
    this.scene = null;
  }

  zoom(factor, at = { x: this.width / 2, y: this.height / 2 }) {
    const scale = Math.min(LIMITS[1], Math.max(LIMITS[0], this.scale * factor));
    const real = scale / this.scale;
    this.left = at.x - (at.x - this.left) * real;
    this.top = at.y - (at.y - this.top) * real;
    this.scale = scale;
    this.ask();
  }

  pan(x, y) {
    this.left += x;
    this.top += y;
    this.ask();
  }

  /** Show the whole scene. */
  fit(most = 1.1) {
    if (!this.scene) return;
    const { left, right, top, bottom } = this.bounds();
    if (left === Infinity) return;
    const tall = this.height - LEGEND;
    this.scale = Math.max(LIMITS[0], Math.min(most, (this.width - 2 * ROOM) / (right - left),
      (tall - 2 * ROOM) / (bottom - top)));
    this.left = (this.width - (left + right) * this.scale) / 2;
    this.top = (tall - (top + bottom) * this.scale) / 2;
    this.ask();
  }

  /** Bring a node to the middle, near enough to be read. */
  centre(node, { least = 0.8, onlyIfOutside = false } = {}) {
    const at = this.box(node);
    const inside = at.left > 8 && at.top > 8 && at.right < this.width - 8 && at.bottom < this.height - 8;
    if (onlyIfOutside && inside) return;
    this.scale = Math.max(this.scale, least);
    const { x, y } = this.scene;
    this.left = this.width / 2 - (x[node] + NODE_WIDTH / 2) * this.scale;
    this.top = this.height / 2 - y[node] * this.scale;
    this.inside();
    this.ask();
  }

  /** No empty space on one side while the graph continues beyond the other. */
  inside() {
    const { left, right, top, bottom } = this.bounds();
    this.left = held(this.left, left * this.scale, right * this.scale, this.width);
    this.top = held(this.top, top * this.scale, bottom * this.scale, this.height);
  }

  /** Where a node is on the canvas, in CSS pixels. */
  box(node) {
    const { x, y, height } = this.scene;
    const left = this.left + x[node] * this.scale;
    const top = this.top + (y[node] - height[node] / 2) * this.scale;
    return { left, top, right: left + NODE_WIDTH * this.scale, bottom: top + height[node] * this.scale };
  }

  /** What lies there: a node, one of its columns, or a button that shows more. */
  under(px, py) {
    const { x, y, height, rows, more } = this.scene;
    const gx = (px - this.left) / this.scale;
    const gy = (py - this.top) / this.scale;
    for (let node = x.length - 1; node >= 0; node -= 1) {
      const dx = gx - x[node];
      const dy = gy - (y[node] - height[node] / 2);
      if (dy < -4 || dy > height[node] + 4 || dx < -24 || dx > NODE_WIDTH + 24) continue;
      if (this.scale >= NEAR && dy < HEAD + 4) {
        if (dx < 0 && more[node].up) return { node, expand: "up" };
        if (dx > NODE_WIDTH && more[node].down) return { node, expand: "down" };
      }
      if (dx < 0 || dx > NODE_WIDTH || dy < 0 || dy > height[node]) continue;
      const row = rows[node][Math.floor((dy - HEAD) / ROW)];
      return dy > HEAD && row ? { node, column: row.column } : { node };
    }
    return null;
  }

  /** The edges of the scene. */
  bounds() {
    const { x, y, height } = this.scene;
    const found = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const node of x.keys()) {
      found.left = Math.min(found.left, x[node]);
      found.right = Math.max(found.right, x[node] + NODE_WIDTH);
      found.top = Math.min(found.top, y[node] - height[node] / 2);
      found.bottom = Math.max(found.bottom, y[node] + height[node] / 2);
    }
    return found;
  }
}

/** An offset with which a span fills a window, or is centred in it if it is smaller. */
function held(offset, from, to, size) {
  if (to - from <= size - 2 * ROOM) return (size - from - to) / 2;
  return Math.min(ROOM - from, Math.max(size - ROOM - to, offset));
}
