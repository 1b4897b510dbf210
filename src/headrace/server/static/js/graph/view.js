/** Draws a scene on a canvas. */

import { Camera, HEAD, NEAR, ROW, SMALL } from "./camera.js";
import { NODE_WIDTH } from "./layout.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

const TEXTS = 20000; // shortened names that are remembered
const KINDS = ["resource", "table", "model", "snapshot", "seed", "semantic_model", "metric", "saved_query", "exposure"];

export class View extends Camera {
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.texts = new Map();
    this.frame = 0;
    this.drawn = 0;
    this.recolour();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  /** Read the colours again; print does not wait for a frame. */
  recolour({ now = false } = {}) {
    const style = getComputedStyle(this.canvas);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colour = {
      card: read("--surface"), line: read("--line-strong"), text: read("--text"), soft: read("--muted"),
      page: read("--graph-ground"), accent: read("--accent"), edge: read("--edge"), bad: read("--bad"),
      row: read("--surface-2"), hit: read("--warn"),
      kind: Object.fromEntries(KINDS.map((kind) => [kind, read(`--kind-${kind}`)])),
    };
    if (now && this.scene) this.draw();
    else this.ask();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.width = width;
    this.height = height;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
    if (this.scene) this.draw();
  }

  show(scene) {
    this.scene = scene;
    this.ask();
  }

  /** Draw at the next frame, once. */
  ask() {
    if (this.frame || !this.scene) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { pen, colour, ratio } = this;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = colour.page;
    pen.fillRect(0, 0, this.width, this.height);
    pen.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.left, ratio * this.top);
    this.edges();
    this.links();
    const far = this.scale < NEAR;
    for (let node = 0; node < this.scene.x.length; node += 1) {
      const at = this.box(node);
      if (at.right < -30 || at.left > this.width + 30 || at.bottom < -30 || at.top > this.height + 30) continue;
      if (far && this.scale < SMALL) this.dot(node);
      else if (far) this.small(node);
      else this.card(node);
    }
    pen.globalAlpha = 1;
    if (this.scale < SMALL) this.landmarks();
    this.drawn += 1;
    this.canvas.dispatchEvent(new CustomEvent("drawn"));
  }

  edges() {
    const { pen, colour, scene } = this;
    const width = Math.min(3, Math.max(1.2, 0.8 / this.scale));
    for (const strong of [false, true]) {
      pen.beginPath();
      scene.edges.forEach((edge, index) => {
        if (scene.strong(edge) === strong) this.route(edge, scene.routes[index]);
      });
      pen.globalAlpha = strong ? 0.95 : scene.dims ? 0.22 : 0.8;
      pen.strokeStyle = strong ? colour.accent : colour.edge;
      pen.lineWidth = strong ? width * 1.5 : width;
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  route([parent, child], bends) {
    const { x, y, height, rows } = this.scene;
    const middle = (node) => (rows[node].length ? y[node] - height[node] / 2 + HEAD / 2 : y[node]);
    let px = x[parent] + NODE_WIDTH;
    let py = middle(parent);
    this.pen.moveTo(px, py);
    for (let index = 0; index < bends.length; index += 3) {
      const [from, to, by] = [bends[index], bends[index + 1], bends[index + 2]];
      this.curve(px, py, from, by);
      this.pen.lineTo(to, by);
      [px, py] = [to, by];
    }
    this.curve(px, py, x[child], middle(child));
  }

  curve(px, py, x, y) {
    const bow = Math.max(18, Math.abs(x - px) / 2);
    this.pen.bezierCurveTo(px + bow, py, x - bow, y, x, y);
  }

  /** Edges between columns: solid where values flow, dashed where they only decide. */
  links() {
    const { pen, colour, scene } = this;
    if (!scene.links.length) return;
    const row = (node, column) => {
      const index = scene.rows[node].findIndex((one) => one.column === column);
      const top = scene.y[node] - scene.height[node] / 2;
      return top + (index < 0 ? HEAD / 2 : HEAD + (index + 0.5) * ROW);
    };
    pen.lineWidth = 1.8;
    for (const link of scene.links) {
      const px = scene.x[link.parent] + NODE_WIDTH;
      const py = row(link.parent, link.from);
      pen.beginPath();
      pen.moveTo(px, py);
      this.curve(px, py, scene.x[link.child], row(link.child, link.to));
      pen.strokeStyle = link.direct ? colour.accent : colour.soft;
      pen.setLineDash(link.direct ? [] : [5, 4]);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  dot(node) {
    const { pen, colour, scene } = this;
    const top = scene.y[node] - scene.height[node] / 2;
    pen.globalAlpha = scene.dim(node) ? 0.22 : 1;
    pen.fillStyle = colour.kind[scene.kind(node)] ?? colour.soft;
    pen.fillRect(scene.x[node], top, NODE_WIDTH, scene.height[node]);
    if (scene.failing(node)) this.alarm(node, top, Math.max(3, 2 / this.scale));
    this.ring(node, top, Math.max(2, 2.5 / this.scale));
  }

  /** Between a dot and a card: a box with its name in it, no smaller than can be read. */
  small(node) {
    const { pen, colour, scene } = this;
    const [x, height] = [scene.x[node], scene.height[node]];
    const top = scene.y[node] - height / 2;
    pen.globalAlpha = 1;
    pen.fillStyle = colour.card;
    pen.fillRect(x, top, NODE_WIDTH, height);
    pen.globalAlpha = scene.dim(node) ? 0.3 : 1;
    pen.lineWidth = 1 / this.scale;
    pen.strokeStyle = colour.line;
    pen.strokeRect(x, top, NODE_WIDTH, height);
    pen.fillStyle = colour.kind[scene.kind(node)] ?? colour.soft;
    pen.fillRect(x, top, 4 / this.scale, height);
    if (scene.failing(node)) this.alarm(node, top, 2 / this.scale);
    pen.fillStyle = colour.text;
    pen.font = `${Math.round(10 / this.scale)}px ${FONT}`;
    pen.textBaseline = "middle";
    pen.fillText(this.text(scene.name(node), Math.round(NODE_WIDTH - 10 / this.scale), pen.font), x + 7 / this.scale, scene.y[node]);
    this.ring(node, top, 2.5 / this.scale);
  }

  /** Around a node whose tests fail. */
  alarm(node, top, width) {
    const { pen, colour, scene } = this;
    pen.lineWidth = width;
    pen.strokeStyle = colour.bad;
    pen.strokeRect(scene.x[node], top, NODE_WIDTH, scene.height[node]);
  }

  card(node) {
    const { pen, colour, scene } = this;
    const [x, height] = [scene.x[node], scene.height[node]];
    const top = scene.y[node] - height / 2;
    pen.globalAlpha = 1;
    box(pen, x, top, NODE_WIDTH, height, 6);
    pen.fillStyle = colour.card;
    pen.fill();
    pen.globalAlpha = scene.dim(node) ? 0.3 : 1;
    pen.lineWidth = 1;
    pen.strokeStyle = colour.line;
    pen.stroke();
    box(pen, x, top, 5, height, [6, 0, 0, 6]);
    pen.fillStyle = colour.kind[scene.kind(node)] ?? colour.soft;
    pen.fill();
    pen.fillStyle = colour.text;
    pen.font = `500 12.5px ${FONT}`;
    pen.textBaseline = "middle";
    const bad = scene.failing(node);
    const told = scene.told(node);
    const used = told ? pen.measureText(told).width + 8 : 0;
    pen.fillText(this.text(scene.name(node), NODE_WIDTH - used - (bad ? 36 : 22), pen.font), x + 13, top + HEAD / 2 + 0.5);
    if (told) {
      pen.fillStyle = { bad: colour.bad, unsure: colour.hit }[scene.mood(node)] ?? colour.soft;
      pen.fillText(told, x + NODE_WIDTH - used - (bad ? 18 : 2), top + HEAD / 2 + 0.5);
    }
    if (bad) this.mark(x + NODE_WIDTH - 13, top + HEAD / 2);
    this.columns(node, x, top);
    this.ring(node, top, 2.5);
    if (!scene.rows[node].length || scene.more[node]) this.buttons(node, x, top);
  }

  mark(x, y) {
    const { pen, colour } = this;
    pen.fillStyle = colour.bad;
    pen.beginPath();
    pen.arc(x, y, 4.5, 0, 2 * Math.PI);
    pen.fill();
  }

  columns(node, x, top) {
    const { pen, colour, scene } = this;
    pen.font = `12px ${FONT}`;
    scene.rows[node].forEach((row, index) => {
      const y = top + HEAD + index * ROW;
      pen.fillStyle = row.chosen ? colour.accent : colour.row;
      pen.globalAlpha = row.chosen ? 0.18 : 1;
      pen.fillRect(x + 5, y, NODE_WIDTH - 6, ROW - 1);
      pen.globalAlpha = 1;
      pen.fillStyle = row.direct ? colour.text : colour.soft;
      pen.fillText(this.text(row.name, NODE_WIDTH - 26, pen.font), x + 16, y + ROW / 2);
    });
  }

  ring(node, top, width) {
    const { pen, colour, scene } = this;
    const chosen = node === scene.chosen;
    if (!chosen && !scene.hit(node)) return;
    pen.globalAlpha = 1;
    pen.lineWidth = width;
    pen.strokeStyle = chosen ? colour.accent : colour.hit;
    box(pen, scene.x[node] - 1.5, top - 1.5, NODE_WIDTH + 3, scene.height[node] + 3, 7);
    pen.stroke();
  }

  buttons(node, x, top) {
    const { up, down } = this.scene.more[node];
    if (up) this.button(x - 12, top + HEAD / 2, up);
    if (down) this.button(x + NODE_WIDTH + 12, top + HEAD / 2, down);
  }

  button(x, y, count) {
    const { pen, colour } = this;
    pen.beginPath();
    pen.arc(x, y, 9.5, 0, 2 * Math.PI);
    pen.fillStyle = colour.card;
    pen.fill();
    pen.lineWidth = 1;
    pen.strokeStyle = colour.accent;
    pen.stroke();
    pen.fillStyle = colour.accent;
    pen.font = `600 9.5px ${FONT}`;
    pen.textAlign = "center";
    pen.fillText(count > 99 ? "99+" : `+${count}`, x, y + 0.5);
    pen.textAlign = "start";
  }

  /** From afar: names of the best connected nodes, as many as do not touch each other. */
  landmarks() {
    const { pen, colour, scene, ratio } = this;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = `500 11.5px ${FONT}`;
    pen.textBaseline = "middle";
    const taken = new Set();
    for (const node of scene.ranked()) {
      const at = this.box(node);
      if (at.right < 0 || at.left > this.width || at.bottom < 0 || at.top > this.height) continue;
      if (scene.dim(node)) continue;
      const text = this.text(scene.name(node), 150, pen.font);
      const wide = pen.measureText(text).width + 8;
      const left = Math.min(Math.max(at.left, 2), this.width - wide - 2);
      const middle = (at.top + at.bottom) / 2;
      const cells = [];
      for (let cx = Math.floor((left - 6) / 24); cx <= Math.floor((left + wide + 6) / 24); cx += 1) {
        for (const cy of [Math.floor((middle - 9) / 18), Math.floor((middle + 9) / 18)]) cells.push(cx * 4096 + cy);
      }
      if (cells.some((cell) => taken.has(cell))) continue;
      cells.forEach((cell) => taken.add(cell));
      pen.globalAlpha = 0.92;
      pen.fillStyle = colour.card;
      box(pen, left, middle - 8.5, wide, 17, 4);
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = node === scene.chosen ? colour.accent : colour.kind[scene.kind(node)] ?? colour.line;
      pen.lineWidth = node === scene.chosen ? 2 : 1;
      pen.stroke();
      pen.fillStyle = colour.text;
      pen.fillText(text, left + 4, middle + 0.5);
    }
  }

  /** The text, shortened to fit. */
  text(full, wide, font) {
    const key = `${font} ${wide} ${full}`;
    let text = this.texts.get(key);
    if (text === undefined) {
      text = full;
      const marks = [...full];
      while (marks.length > 1 && this.pen.measureText(text).width > wide) {
        marks.splice(Math.floor(marks.length / 2), 1);
        const half = Math.ceil(marks.length / 2);
        text = `${marks.slice(0, half).join("")}…${marks.slice(half).join("")}`;
      }
      if (this.texts.size > TEXTS) this.texts.clear();
      this.texts.set(key, text);
    }
    return text;
  }
}

function box(pen, x, y, width, height, radius) {
  pen.beginPath();
  pen.roundRect(x, y, width, height, radius);
}
