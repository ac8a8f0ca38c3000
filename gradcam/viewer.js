// Linked heatmaps of one photo, drawn on canvases: one zoom, one look and one crosshair for all panels.
//
// A scene: { photo: {name, sha256, width, height, uri}, columns, least, words,
//   panels: [{title, subtitle, facts, alt, note, reason, terms: [{values, rows, columns, box, full, sign}], seen}],
//   look: {colormap, opacity, threshold, smooth}, colormaps: {name: RGB × 256}, bar: {title, numbers, diverging} }
// Arrays come as base64: float32 maps on their own grid, uint8 colours. Places are photo pixels.

const CLOSEST = 24; // the narrowest view, in photo pixels
const HOLD_MS = 350; // a still press on a picture for this long shows the bare photo
const STILL_PX = 5;
const TALLEST = 620; // of a picture, in CSS pixels
const HINT =
  "Drag to move, double-click, pinch or Ctrl + wheel to zoom; press and hold to see the photo. " +
  "Keys: arrows move the cross, Shift + arrows the view, + − 0 zoom, space shows the photo.";

const mounted = new Set();

/** Show a scene in `parent`. `report(look)` hears of every look that a person has chosen. Returns `{update, remove}`. */
export function mount(parent, scene, report = () => {}) {
  const root = element("div", { class: "viewer" });
  parent.append(root);
  const viewer = { root, report, look: { ...scene.look }, view: whole(scene.photo), cross: null, bare: false };
  viewer.redraw = onceAFrame(() => draw(viewer));
  const sizes = new ResizeObserver(viewer.redraw);
  sizes.observe(root);
  viewer.update = (next) => show(viewer, next);
  viewer.remove = () => {
    sizes.disconnect();
    mounted.delete(viewer);
    root.remove();
  };
  mounted.add(viewer);
  show(viewer, scene);
  return viewer;
}

/** Streamlit calls this for each new scene, with the same parent while the component stays on the page. */
const parents = new WeakMap();
export default function ({ data, parentElement, setStateValue }) {
  const there = parents.get(parentElement);
  const report = (look) => setStateValue("look", { look, base: data.look });
  setTimeout(() => matchTheme(parents.get(parentElement).root));
  if (there) {
    there.report = report;
    there.update(data);
  } else {
    parents.set(parentElement, mount(parentElement, data, report));
  }
  return () => {
    parents.get(parentElement)?.remove();
    parents.delete(parentElement);
  };
}

/** Streamlit's themes are its own, so the browser draws its sliders for the wrong one unless told. */
function matchTheme(root) {
  const ink = getComputedStyle(root).color.match(/[\d.]+/g).slice(0, 3).map(Number);
  root.style.colorScheme = Math.max(...ink) > 128 ? "dark" : "light";
}

// ------------------------------------------------------------------------------------------------ building

/** Build a scene anew; the zoom stays on the same photo, and the look unless Python has changed it. */
function show(viewer, scene) {
  const before = viewer.scene;
  if (before && JSON.stringify(before) === JSON.stringify(scene)) return;
  if (before?.photo.sha256 !== scene.photo.sha256) {
    viewer.view = whole(scene.photo);
    viewer.cross = null;
  }
  if (before?.photo.uri !== scene.photo.uri) viewer.image = load(scene.photo.uri, viewer.redraw);
  if (before && JSON.stringify(before.look) !== JSON.stringify(scene.look)) viewer.look = { ...scene.look };
  viewer.scene = scene;
  viewer.bare = false;
  viewer.colours = Object.fromEntries(Object.entries(scene.colormaps).map(([name, text]) => [name, bytes(text)]));
  viewer.panels = scene.panels.map((panel) => panelOf(viewer, panel));
  viewer.stage = element("div", {
    class: "panels",
    tabindex: "0",
    role: "group",
    "aria-label": `Heatmaps over ${scene.photo.name}. ${HINT}`,
    style: `--columns: ${scene.columns}; --room: ${scene.least}rem`,
  }, viewer.panels.map((panel) => panel.figure));
  viewer.spoken = element("p", { class: "spoken", "aria-live": "polite" });
  viewer.legend = legendOf(scene);
  viewer.root.replaceChildren(
    toolsOf(viewer), viewer.stage, viewer.legend.box, element("p", { class: "quiet hint" }, [HINT]), viewer.spoken,
  );
  listenToKeys(viewer);
  viewer.redraw();
}

function panelOf(viewer, panel) {
  const canvas = element("canvas", { role: "img", "aria-label": panel.alt });
  const value = element("p", { class: "value", "aria-hidden": "true" });
  const said = panel.reason ? "No map" : panel.note;
  const { width, height } = viewer.scene.photo;
  const shape = `aspect-ratio: ${width} / ${height}; max-width: ${(TALLEST * width) / height}px`;
  const picture = element("div", { class: "picture", style: shape }, [canvas, said && element("p", { class: "notice" }, [said])]);
  const figure = element("figure", { class: "panel" }, [
    element("figcaption", {}, [element("b", {}, [panel.title]), panel.subtitle]),
    picture,
    element("div", { class: "facts" }, [element("p", { class: "quiet" }, [panel.reason || panel.facts]), value]),
  ]);
  listenToPointers(viewer, canvas);
  const terms = panel.terms.map((term) => ({ ...term, values: new Float32Array(bytes(term.values).buffer) }));
  return { ...panel, terms, figure, canvas, value, heat: document.createElement("canvas") };
}

function toolsOf(viewer) {
  const { look, scene } = viewer;
  const slider = (name, label) => {
    const shown = element("span", { class: "quiet", "aria-hidden": "true" }); // an output would take the label
    const input = element("input", { type: "range", min: "0", max: "100", step: "1", "data-look": name });
    input.oninput = () => choose(viewer, { [name]: input.value / 100 });
    input.onchange = tell;
    return element("label", { class: "tool" }, [element("span", {}, [label, shown]), input]);
  };
  const names = Object.keys(scene.colormaps);
  const select = element("select", { "data-look": "colormap" }, names.map((name) => element("option", {}, [name])));
  select.onchange = () => {
    choose(viewer, { colormap: select.value });
    tell();
  };
  const button = (text, label, act) => {
    const it = element("button", { type: "button", "aria-label": label }, [text]);
    it.onclick = act;
    return it;
  };
  const tools = element("div", { class: "tools", role: "group", "aria-label": "Look and zoom" }, [
    slider("opacity", "Opacity"),
    slider("threshold", "Hide below"),
    names.length > 1 && element("label", { class: "tool" }, [element("span", {}, ["Colour map"]), select]),
    holdOf(viewer),
    element("div", { class: "zoom" }, [
      button("−", "Zoom out", () => zoom(viewer, 1 / 1.5)),
      button("+", "Zoom in", () => zoom(viewer, 1.5)),
      button("Reset", "Reset zoom", () => move(viewer, whole(scene.photo))),
    ]),
  ]);
  viewer.tools = tools;
  reflect(viewer, look);
  return tools;
}

/** The button that shows the bare photo for as long as it is held, by mouse, finger or key. */
function holdOf(viewer) {
  const it = element("button", { type: "button", class: "hold", "aria-pressed": "false" }, ["Hold to see the photo"]);
  const down = () => bare(viewer, true);
  const up = () => bare(viewer, false);
  it.onpointerdown = (event) => {
    it.setPointerCapture(event.pointerId);
    down();
  };
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) it.addEventListener(name, up);
  it.onkeydown = (event) => [" ", "Enter"].includes(event.key) && (event.preventDefault(), down());
  it.onkeyup = up;
  it.oncontextmenu = (event) => event.preventDefault();
  viewer.hold = it;
  return it;
}

function legendOf({ bar, words }) {
  const ramp = element("div", { class: "ramp", role: "img", "aria-label": `Colour scale from ${bar.numbers[0]} to ${bar.numbers.at(-1)}` });
  const numbers = element("div", { class: "numbers" }, bar.numbers.map((number) => element("span", {}, [number])));
  const title = element("p", {}, [bar.title[0].toUpperCase() + bar.title.slice(1)]);
  return { box: element("div", { class: "legend" }, [title, ramp, numbers, element("p", { class: "quiet" }, [words])]), ramp };
}

// ------------------------------------------------------------------------------------------- look and zoom

/** Change the look of every viewer on the page; one that does not know a colour map keeps its own. */
function choose(viewer, change) {
  for (const other of mounted) {
    if (change.colormap && !(change.colormap in other.colours)) continue;
    other.look = { ...other.look, ...change };
    reflect(other, other.look);
    other.redraw();
  }
}

function tell() {
  for (const other of mounted) other.report({ ...other.look });
}

/** Let the controls show the look. */
function reflect(viewer, look) {
  for (const control of viewer.tools.querySelectorAll("[data-look]")) {
    const value = look[control.dataset.look];
    control.value = typeof value === "number" ? Math.round(100 * value) : value;
    if (typeof value !== "number") continue;
    control.setAttribute("aria-valuetext", `${control.value} %`);
    control.parentElement.querySelector(".quiet").textContent = `${control.value} %`;
  }
}

function bare(viewer, on) {
  if (viewer.bare === on) return;
  viewer.bare = on;
  viewer.hold.setAttribute("aria-pressed", String(on));
  viewer.redraw();
}

const whole = ({ width, height }) => ({ x: 0, y: 0, width, height });

/** Look at a part of the photo, of the photo's own aspect and inside it. */
function move(viewer, { x, y, width }) {
  const { photo } = viewer.scene;
  width = clamp(width, Math.min(CLOSEST, photo.width), photo.width);
  const height = (width * photo.height) / photo.width;
  viewer.view = { x: clamp(x, 0, photo.width - width), y: clamp(y, 0, photo.height - height), width, height };
  viewer.redraw();
}

/** Zoom by a factor; the place `at` (the cross, or the middle) stays where it is. */
function zoom(viewer, factor, at = viewer.cross) {
  const { x, y, width, height } = viewer.view;
  const fixed = at && inside(viewer.view, at) ? at : { x: x + width / 2, y: y + height / 2 };
  const { photo } = viewer.scene;
  const real = width / clamp(width / factor, Math.min(CLOSEST, photo.width), photo.width);
  move(viewer, { x: fixed.x - (fixed.x - x) / real, y: fixed.y - (fixed.y - y) / real, width: width / real });
}

function point(viewer, at) {
  viewer.cross = at;
  viewer.redraw();
}

// ------------------------------------------------------------------------------------------ mouse and touch

function listenToPointers(viewer, canvas) {
  const down = new Map(); // pointers that touch the picture
  let start, timer;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const { x, y, width } = viewer.view;
    const scale = width / box.width;
    return { x: x + (event.clientX - box.left) * scale, y: y + (event.clientY - box.top) * scale };
  };
  const end = (event) => {
    clearTimeout(timer);
    down.delete(event.pointerId);
    bare(viewer, false);
  };
  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    start = event;
    clearTimeout(timer);
    if (down.size === 1) timer = setTimeout(() => bare(viewer, true), HOLD_MS);
    point(viewer, place(event));
  };
  canvas.onpointermove = (event) => {
    const last = down.get(event.pointerId);
    if (!last) {
      if (event.pointerType === "mouse") point(viewer, place(event));
      return;
    }
    if (apart(start, event) > STILL_PX) clearTimeout(timer);
    if (!viewer.bare) drag(viewer, canvas, [...down.values()], last, event);
    down.set(event.pointerId, event);
    if (down.size === 1) point(viewer, place(event));
  };
  canvas.onpointerup = canvas.onpointercancel = end;
  canvas.onpointerleave = (event) => event.pointerType === "mouse" && point(viewer, null);
  canvas.ondblclick = (event) => zoom(viewer, event.shiftKey ? 0.5 : 2, place(event));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoom(viewer, Math.exp(-clamp(event.deltaY, -60, 60) / 100), place(event));
  }, { passive: false });
  canvas.oncontextmenu = (event) => event.pointerType === "touch" && event.preventDefault();
}

/** One pointer moves the photo with it; two also zoom by how far they part. */
function drag(viewer, canvas, touching, last, now) {
  const scale = viewer.view.width / canvas.getBoundingClientRect().width;
  const other = touching.find((event) => event.pointerId !== now.pointerId);
  const share = other ? 0.5 : 1;
  const { x, y, width } = viewer.view;
  move(viewer, {
    x: x - share * (now.clientX - last.clientX) * scale,
    y: y - share * (now.clientY - last.clientY) * scale,
    width,
  });
  if (!other) return;
  const box = canvas.getBoundingClientRect();
  const middle = {
    x: viewer.view.x + ((now.clientX + other.clientX) / 2 - box.left) * scale,
    y: viewer.view.y + ((now.clientY + other.clientY) / 2 - box.top) * scale,
  };
  zoom(viewer, apart(now, other) / Math.max(1, apart(last, other)), middle);
}

// ------------------------------------------------------------------------------------------------ keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function listenToKeys(viewer) {
  viewer.stage.onkeydown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const act = ARROWS[event.key] ? () => step(viewer, ARROWS[event.key], event.shiftKey) : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(viewer);
  };
  viewer.stage.onkeyup = (event) => event.key === " " && bare(viewer, false);
  viewer.stage.onblur = () => bare(viewer, false);
}

const KEYS = {
  "+": (viewer) => zoom(viewer, 1.5),
  "=": (viewer) => zoom(viewer, 1.5),
  "-": (viewer) => zoom(viewer, 1 / 1.5),
  0: (viewer) => move(viewer, whole(viewer.scene.photo)),
  " ": (viewer) => bare(viewer, true),
  Escape: (viewer) => point(viewer, null),
};

/** Move the view or the cross by a twentieth of what is seen; a cross says its values. */
function step(viewer, [across, down], view) {
  const { x, y, width, height } = viewer.view;
  const by = Math.max(width, height) / 20;
  if (view) return move(viewer, { x: x + across * by, y: y + down * by, width });
  const from = viewer.cross ?? { x: x + width / 2 - across * by, y: y + height / 2 - down * by };
  point(viewer, { x: clamp(from.x + across * by, x, x + width), y: clamp(from.y + down * by, y, y + height) });
  clearTimeout(viewer.saying);
  viewer.saying = setTimeout(() => {
    viewer.spoken.textContent = viewer.panels.map((panel) => `${panel.title}: ${valueWords(viewer, panel)}`).join("; ");
  }, 500);
}

// ------------------------------------------------------------------------------------------------- drawing

function draw(viewer) {
  const { scene, look, view, stage, panels } = viewer;
  stage.classList.toggle("zoomed", view.width < scene.photo.width);
  viewer.legend.ramp.style.background = gradient(viewer.colours[look.colormap], look.threshold, scene.bar.diverging);
  for (const panel of panels) {
    drawPanel(viewer, panel);
    panel.value.textContent = viewer.cross ? valueWords(viewer, panel) : "";
  }
}

function drawPanel(viewer, panel) {
  const { canvas } = panel;
  const { photo } = viewer.scene;
  const width = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2));
  if (!width) return;
  const height = Math.max(1, Math.round((width * photo.height) / photo.width));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const { image, view } = viewer;
  if (image.complete && image.naturalWidth) {
    const shrunk = image.naturalWidth / photo.width;
    context.globalAlpha = panel.reason ? 0.35 : 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, view.x * shrunk, view.y * shrunk, view.width * shrunk, view.height * shrunk, 0, 0, width, height);
  }
  if (panel.terms.length && !viewer.bare) {
    paintHeat(viewer, panel, width, height);
    context.globalAlpha = viewer.look.opacity;
    context.drawImage(panel.heat, 0, 0);
  }
  context.globalAlpha = 1;
  const scale = width / view.width;
  if (!viewer.bare) for (const [left, top, right, bottom] of panel.seen) {
    frame(context, (left - view.x) * scale, (top - view.y) * scale, (right - left) * scale, (bottom - top) * scale);
  }
  if (viewer.cross) crossLines(context, (viewer.cross.x - view.x) * scale, (viewer.cross.y - view.y) * scale);
}

/** The coloured map of what is in view, on a canvas of its own; painted anew only where something has changed. */
function paintHeat(viewer, panel, width, height) {
  const { look, view, scene } = viewer;
  const state = JSON.stringify([width, height, view, look.colormap, look.threshold, look.smooth]);
  if (panel.painted === state) return;
  panel.painted = state;
  Object.assign(panel.heat, { width, height });
  const context = panel.heat.getContext("2d");
  const picture = context.createImageData(width, height);
  const colours = viewer.colours[look.colormap];
  const values = shares(panel.terms, view, width, height, look.smooth);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (!(Math.abs(value) >= look.threshold)) continue; // NaN too: nothing was seen here
    const colour = 3 * Math.round(255 * (scene.bar.diverging ? (value + 1) / 2 : value));
    picture.data.set([colours[colour], colours[colour + 1], colours[colour + 2], 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
}

/** Σ sign · clip(raw / full) at the centre of every pixel in view; NaN outside what a model saw. */
function shares(terms, view, width, height, smooth) {
  const sum = new Float32Array(width * height);
  for (const term of terms) {
    const [left, top, right, bottom] = term.box;
    const across = Array.from({ length: width }, (_, i) =>
      cells((view.x + ((i + 0.5) * view.width) / width - left) / (right - left), term.columns, smooth));
    for (let row = 0; row < height; row++) {
      const down = cells((view.y + ((row + 0.5) * view.height) / height - top) / (bottom - top), term.rows, smooth);
      for (let i = 0; i < width; i++) sum[row * width + i] += share(term, down, across[i]);
    }
  }
  return sum;
}

/** The two cells around a place from 0 to 1 and the weight of the second; null outside. A value stands at its cell's centre. */
function cells(place, count, smooth) {
  if (!(place >= 0 && place < 1)) return null;
  const at = clamp(place * count - 0.5, 0, count - 1);
  if (!smooth) return [Math.floor(at + 0.5), Math.floor(at + 0.5), 0];
  const first = Math.floor(at);
  return [first, Math.min(first + 1, count - 1), at - first];
}

function sample({ values, columns }, down, across) {
  const [top, bottom, low] = down;
  const [left, right, far] = across;
  const mix = (row) => values[row * columns + left] * (1 - far) + values[row * columns + right] * far;
  return mix(top) * (1 - low) + mix(bottom) * low;
}

function share(term, down, across) {
  if (!down || !across) return NaN;
  return term.full > 0 ? term.sign * clamp(sample(term, down, across) / term.full, 0, 1) : 0;
}

/** What a panel shows under the cross: the raw value and its share of full colour. */
function valueWords({ cross, scene, look }, panel) {
  if (!cross) return "";
  if (!panel.terms.length) return panel.note;
  const found = panel.terms.map((term) => {
    const [left, top, right, bottom] = term.box;
    const down = cells((cross.y - top) / (bottom - top), term.rows, look.smooth);
    const across = cells((cross.x - left) / (right - left), term.columns, look.smooth);
    return { share: share(term, down, across), raw: down && across ? sample(term, down, across) : NaN };
  });
  const total = found.reduce((sum, one) => sum + one.share, 0);
  if (Number.isNaN(total)) return "not seen by the model";
  if (scene.bar.diverging) return `A ${percent(found[0].share)}, B ${percent(-found[1].share)}, A − B ${percent(total)}`;
  return `heat ${found[0].raw.toPrecision(3)} · ${percent(total)} of full colour`;
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`.replace("-", "−");

/** A light line inside a dark one: visible on any photo. */
function frame(context, x, y, width, height) {
  const thick = Math.max(1, Math.round(context.canvas.width / 400));
  for (const [inset, colour] of [[0.5, "#141414"], [1.5, "#f5f5f5"]]) {
    Object.assign(context, { lineWidth: thick, strokeStyle: colour });
    context.strokeRect(x + inset * thick, y + inset * thick, width - 2 * inset * thick, height - 2 * inset * thick);
  }
}

function crossLines(context, x, y) {
  const { width, height } = context.canvas;
  const gap = 6 * Math.min(window.devicePixelRatio || 1, 2);
  for (const [line, colour] of [[3, "rgb(20 20 20 / 0.75)"], [1, "#ffffff"]]) {
    Object.assign(context, { lineWidth: line, strokeStyle: colour });
    context.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }
}

/** The colour scale as a CSS background, clear below the threshold. */
function gradient(colours, threshold, diverging) {
  const stops = Array.from({ length: 65 }, (_, i) => {
    const place = i / 64;
    const shown = Math.abs(diverging ? 2 * place - 1 : place) >= threshold;
    const at = 3 * Math.round(255 * place);
    return `${shown ? `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})` : "transparent"} ${100 * place}%`;
  });
  return `linear-gradient(to right in srgb, ${stops.join(", ")})`;
}

// --------------------------------------------------------------------------------------------------- tools

function element(name, attributes, children = []) {
  const it = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  it.append(...children.filter((child) => child));
  return it;
}

function load(uri, then) {
  const image = new Image();
  image.onload = then;
  image.src = uri;
  return image;
}

function onceAFrame(act) {
  let asked = 0;
  return () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(act);
  };
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
const inside = (view, { x, y }) => x >= view.x && y >= view.y && x <= view.x + view.width && y <= view.y + view.height;
