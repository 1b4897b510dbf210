/** Mouse, pen and touch on the stage: drag to pan, wheel or pinch to zoom, press to choose. */

const STILL = 4; // pixels that a press may move and still be one

export function attach(lineage) {
  const { stage, canvas } = lineage.parts;
  const { view } = lineage;
  const down = new Map();
  let moved = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (down.size === 0) moved = 0;
    down.set(event.pointerId, at(event));
    stage.focus({ preventScroll: true });
  });

  canvas.addEventListener("pointermove", (event) => {
    const now = at(event);
    const before = down.get(event.pointerId);
    if (!before) {
      canvas.classList.toggle("is-over", Boolean(view.scene && view.under(now.x, now.y)));
      return;
    }
    moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (down.size === 1) {
      if (moved > STILL) view.pan(now.x - before.x, now.y - before.y);
    } else pinch(event.pointerId, before, now);
    if (down.size > 1 || moved > STILL) down.set(event.pointerId, now);
  });

  function pinch(id, before, now) {
    const other = [...down].find(([key]) => key !== id)[1];
    const ratio = distance(now, other) / Math.max(1, distance(before, other));
    view.zoom(ratio, { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  const release = (event) => {
    const was = down.delete(event.pointerId);
    if (!was || event.type === "pointercancel" || moved > STILL || !view.scene) return;
    const point = at(event);
    const under = view.under(point.x, point.y);
    if (!under) lineage.choose(null);
    else press(lineage, under);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  canvas.addEventListener("dblclick", (event) => {
    const point = at(event);
    const under = view.under(point.x, point.y);
    if (under) lineage.open(view.scene.nodes[under.node]);
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 18 : 1;
    view.zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0016)), at(event));
  }, { passive: false });
}

function press(lineage, { node, column, expand }) {
  const chosen = lineage.view.scene.nodes[node];
  if (expand) lineage.expand(chosen, expand);
  else if (column !== undefined && column >= 0) lineage.chooseColumn(chosen, column);
  else lineage.choose(chosen);
}

function distance(one, two) {
  return Math.hypot(one.x - two.x, one.y - two.y);
}
