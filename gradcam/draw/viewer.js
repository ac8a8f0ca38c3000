// Linked heatmaps of one photo: a Plotly figure for each panel, with one zoom, one look and one cross for all of them.
//
// A scene: { photo: {name, sha256, width, height, uri}, columns, least, words, plotly, tools, legend,
//   panels: [{title, subtitle, tip, facts, alt, note, reason, plot: {data, layout}, diverging, uri}],
//   look: {colormap, opacity, threshold, blend}, colormaps: {name: RGB × 256}, diverging: RGB × 256,
//   bars: [{title, numbers, diverging}] }
// Another `turn` sets the look anew, even if Python gives the same as before.
// With `markable`, a drag over a picture can mark where the object is: two corners of a box, or more of an outline.
// A scene without a photo has tools and a legend alone, which act on all viewers of the page; these have `tools: false`.
// Viewers of one photo share their zoom and their cross.
// Colours are uint8 in base64, places are photo pixels; `plotly` says where Plotly's script lies if not on the page.

const CLOSEST = 24; // the narrowest view, in photo pixels
const HOLD_MS = 350; // a still press on a picture for this long shows the bare photo
const STILL_PX = 5;
const TALLEST = "clamp(620px, 62vh, 900px)"; // of a picture
const CONFIG = {
  displaylogo: false,
  showSendToCloud: false,
  displayModeBar: false, // the tools above the panels act on all of them
  scrollZoom: true,
  doubleClick: false,
  showTips: false,
};
const TAIL = 10; // letters at the end of a name that are always shown
const LONG = 120; // letters of a reason above which it is folded, or its panel would be taller than all others
const BLENDS = { evidence: "clearer", even: "as opaque" };
const HINT =
  "Drag a box or Ctrl + wheel to zoom, then drag to move, double-click to go back; press and hold to see the photo. " +
  "Keys: arrows move the cross, Shift + arrows the view, + − 0 zoom, space shows the photo.";
const TOUCH_HINT = "Two fingers zoom and move the photo, one scrolls the page. Tap for a value; press and hold to see the photo.";
const isTouched = () => matchMedia("(pointer: coarse)").matches;

const MARKS = { zoom: "zoom", box: "draw a box", outline: "draw an outline" };
const MOST_CORNERS = 64;
const MARK_HINT = " Where a drag marks the object, Enter puts one corner of a box, and then the other, at the cross.";

const mounted = new Set();
let marking = "zoom"; // what a drag does on this page, one of MARKS

/** Show a scene in `parent`. `report(look)` hears of every look that a person has chosen, `mark(corners)` of every part
 *  of the photo that is marked, as `[[x, y], …]`. Returns `{update, remove}`. */
export function mount(parent, scene, report = () => {}, mark = () => {}) {
  const root = element("div", { class: scene.photo ? "viewer" : "viewer alone" });
  parent.append(root);
  const viewer = { root, report, mark, look: { ...scene.look }, view: null, cross: null, bare: false, panels: [] };
  viewer.redraw = onceAFrame(() => window.Plotly && draw(viewer));
  const sizes = new ResizeObserver(viewer.redraw);
  sizes.observe(root);
  viewer.update = (next) => show(viewer, next);
  viewer.remove = () => {
    sizes.disconnect();
    mounted.delete(viewer);
    clear(viewer);
    root.remove();
  };
  mounted.add(viewer);
  show(viewer, scene);
  return viewer;
}

/** Streamlit calls this for each new scene, with the same parent while the component stays on the page. */
const parents = new WeakMap();
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const there = parents.get(parentElement);
  const report = (look) => data.tools !== false && setStateValue("look", { look, base: data.look, turn: data.turn });
  const mark = (corners) => setTriggerValue("region", corners);
  load(data.plotly);
  setTimeout(() => {
    const viewer = parents.get(parentElement); // none, where a hasty visitor has left the page by now
    if (viewer) matchTheme(viewer.root);
  });
  if (there) {
    Object.assign(there, { report, mark });
    there.update(data);
  } else {
    parents.set(parentElement, mount(parentElement, data, report, mark));
  }
  return () => {
    parents.get(parentElement)?.remove();
    parents.delete(parentElement);
  };
}

let loading;

/** Plotly's script, once a visit; Streamlit's own copy cannot be reached. It lies relative to the app, as Streamlit's do. */
function load(place) {
  if (window.Plotly || loading) return;
  const app = document.querySelector("script[src*='static/js/']")?.src.split("static/js/")[0] ?? document.baseURI;
  const src = new URL(place, app).href;
  loading = [...document.scripts].find((script) => script.src === src) ?? element("script", { src });
  loading.onload = () => mounted.forEach((viewer) => viewer.redraw());
  loading.onerror = () => {
    loading = null;
    mounted.forEach((viewer) => viewer.spoken.classList.remove("spoken"));
    mounted.forEach((viewer) => (viewer.spoken.textContent = "The heatmaps could not be loaded. Load the page again."));
  };
  if (!loading.isConnected) document.head.append(loading);
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
  const { photo } = scene;
  if (photo && before?.photo.sha256 !== photo.sha256) {
    viewer.view = [...mounted].find((other) => other.view && isOf(other, photo))?.view ?? whole(photo);
    viewer.cross = viewer.corner = null;
  }
  const set = ({ look, turn }) => JSON.stringify([look, turn]);
  if (before && set(before) !== set(scene)) viewer.look = { ...scene.look };
  clear(viewer);
  viewer.scene = scene;
  viewer.bare = false;
  viewer.colours = Object.fromEntries(Object.entries(scene.colormaps).map(([name, text]) => [name, bytes(text)]));
  viewer.diverging = scene.diverging && bytes(scene.diverging);
  viewer.panels = photo ? scene.panels.map((panel) => panelOf(viewer, panel)) : [];
  viewer.stage = photo && stageOf(viewer);
  viewer.spoken = element("p", { class: "spoken", "aria-live": "polite" });
  viewer.tools = viewer.hold = null;
  const tools = scene.tools !== false && toolsOf(viewer);
  viewer.legend = scene.legend === false ? null : legendOf(scene);
  viewer.root.replaceChildren(
    ...[tools, viewer.stage, viewer.legend?.box, tools && hintOf(scene), viewer.spoken].filter((part) => part),
  );
  viewer.redraw();
}

function stageOf(viewer) {
  const { photo, columns, least } = viewer.scene;
  const stage = element("div", {
    class: "panels",
    tabindex: "0",
    role: "group",
    "aria-label": `Heatmaps over ${photo.name}. ${HINT}`,
    style: `--columns: ${columns}; --room: ${least}rem`,
  }, viewer.panels.map((panel) => panel.figure));
  for (const [place, { figure }] of viewer.panels.entries())
    if (place % columns === 0) figure.style.gridColumnStart = 1; // each request begins a row of its own
  listenToKeys(viewer, stage);
  return stage;
}

/** How to zoom and move, by the means that there are, for those who open it. */
function hintOf({ markable }) {
  const [title, text] = isTouched() ? ["Touch", TOUCH_HINT] : ["Mouse and keys", HINT + (markable ? MARK_HINT : "")];
  return element("details", { class: "quiet hint" }, [element("summary", {}, [title]), text]);
}

const isOf = (viewer, { name, sha256 }) => viewer.scene?.photo?.sha256 === sha256 && viewer.scene.photo.name === name;

/** All viewers of the same photo, this one among them. */
const alike = (viewer) => [...mounted].filter((other) => other === viewer || isOf(other, viewer.scene.photo));

/** The viewers that tools act on: their own, or one of each photo where they stand alone. */
function servedBy(viewer) {
  if (viewer.scene.photo) return [viewer];
  const shown = [...mounted].filter((other) => other.scene.photo);
  return shown.filter((one) => shown.find((other) => isOf(other, one.scene.photo)) === one);
}

function panelOf(viewer, panel) {
  const plot = element("div", { class: "plot", role: "img", "aria-label": panel.alt });
  const cross = element("div", { class: "cross", "aria-hidden": "true", hidden: "" });
  const said = panel.reason ? "No map" : panel.note;
  const { width, height } = viewer.scene.photo;
  const shape = `aspect-ratio: ${width} / ${height}; max-width: calc(${TALLEST} * ${width / height})`;
  const notice = said && element("p", { class: "notice" }, [said]);
  const sketch = element("div", { class: "sketch", "aria-hidden": "true" });
  const picture = element("div", { class: "picture", style: shape }, [plot, cross, sketch, notice]);
  const figure = element("figure", { class: "panel" }, [
    element("figcaption", {}, [nameOf(panel), unbroken(panel.subtitle)]),
    picture,
    element("div", { class: "facts" }, [factsOf(panel)]),
  ]);
  listenToPointers(viewer, picture);
  listenToFingers(viewer, picture);
  listenToMarks(viewer, picture, sketch);
  return { ...panel, figure, picture, cross, plot: { ...panel.plot, place: plot }, shown: null, moving: false };
}

/** A panel's title with the model's id as its tooltip; where there is little room, the middle of its name goes, never a
 *  method or that it is untrained. */
function nameOf({ title, tip }) {
  const [, name, mark] = title.match(/^(.*?)(?: (\(untrained.*|· .*))?$/s);
  const tail = name.length > 2 * TAIL ? name.slice(-TAIL) : "";
  const parts = [name.slice(0, name.length - tail.length), tail].filter(Boolean).map((part) => element("span", {}, [part]));
  return element("b", { class: "name", title: tip }, mark ? [...parts, " ", element("i", {}, [mark])] : parts);
}

function factsOf({ reason, facts }) {
  if (reason.length <= LONG) return element("p", { class: "quiet" }, [reason || unbroken(facts)]);
  return element("details", { class: "quiet" }, [
    element("summary", {}, ["Why there is no map"]),
    element("p", {}, [reason]),
  ]);
}

function clear(viewer) {
  for (const { plot } of viewer.panels) if (plot.place.data) Plotly.purge(plot.place);
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
  const pick = (name, label, choices) => {
    const options = Object.entries(choices).map(([value, text]) => element("option", { value }, [text]));
    const select = element("select", { "data-look": name }, options);
    select.onchange = () => {
      choose(viewer, { [name]: select.value });
      tell();
    };
    return element("label", { class: "tool" }, [element("span", {}, [label]), select]);
  };
  const names = Object.keys(scene.colormaps);
  const button = (text, label, act) => {
    const it = element("button", { type: "button", "aria-label": label }, [text]);
    it.onclick = act;
    return it;
  };
  const tools = element("div", { class: "tools", role: "group", "aria-label": "Look and zoom" }, [
    slider("opacity", "Opacity"),
    pick("blend", "Less heat is", BLENDS),
    slider("threshold", "Hide below"),
    names.length > 1 && pick("colormap", "Colour map", Object.fromEntries(names.map((name) => [name, name]))),
    scene.markable && dragOf(),
    holdOf(viewer),
    element("div", { class: "zoom" }, [
      button("−", "Zoom out", () => servedBy(viewer).forEach((one) => zoom(one, 1 / 1.5))),
      button("+", "Zoom in", () => servedBy(viewer).forEach((one) => zoom(one, 1.5))),
      button("Reset", "Reset zoom", () => servedBy(viewer).forEach((one) => move(one, whole(one.scene.photo)))),
    ]),
  ]);
  viewer.tools = tools;
  reflect(viewer, look);
  return tools;
}

/** What a drag over a picture does: zoom, or mark where the object is. */
function dragOf() {
  const options = Object.entries(MARKS).map(([value, text]) => element("option", { value }, [text]));
  const select = element("select", {}, options);
  select.value = marking;
  select.onchange = () => {
    marking = select.value;
    mounted.forEach((viewer) => viewer.redraw());
  };
  const why = "Draw where the object is: each panel then says what share of its heat is inside";
  return element("label", { class: "tool", title: why }, [element("span", {}, ["Drag to"]), select]);
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
  it.onkeydown = (event) => {
    if (![" ", "Enter"].includes(event.key)) return; // no false, which would hold back every other key: Tab, too
    event.preventDefault();
    down();
  };
  it.onkeyup = up;
  it.oncontextmenu = (event) => event.preventDefault();
  viewer.hold = it;
  return it;
}

function legendOf({ bars, words }) {
  const scales = bars.map(scaleOf);
  const box = element("div", { class: "legend" }, [
    element("div", { class: "scales" }, scales.map((scale) => scale.box)),
    element("p", { class: "quiet" }, [words]),
  ]);
  return { box, scales };
}

function scaleOf({ title, numbers, diverging }) {
  const ramp = element("div", { class: "ramp", role: "img", "aria-label": `Colour scale from ${numbers[0]} to ${numbers.at(-1)}` });
  const below = element("div", { class: "numbers" }, numbers.map((number) => element("span", {}, [number])));
  const above = element("p", {}, [title[0].toUpperCase() + title.slice(1)]);
  return { box: element("div", { class: "scale" }, [above, ramp, below]), ramp, diverging };
}

// ------------------------------------------------------------------------------------------- look and zoom

/** Change the look of every viewer on the page; one that does not know a colour map keeps its own. */
function choose(viewer, change) {
  for (const other of mounted) {
    if (change.colormap && !(change.colormap in other.colours)) continue;
    other.look = { ...other.look, ...change };
    if (other.tools) reflect(other, other.look);
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
  const tools = [...mounted].filter((other) => !other.scene.photo); // whose button says so
  for (const other of viewer.scene.photo ? [...alike(viewer), ...tools] : mounted) {
    other.bare = on;
    other.hold?.setAttribute("aria-pressed", String(on));
    other.redraw();
  }
}

const whole = ({ width, height }) => ({ x: 0, y: 0, width, height });

/** Look at a part of the photo, of the photo's own aspect and inside it. */
function move(viewer, { x, y, width }) {
  const { photo } = viewer.scene;
  width = clamp(width, Math.min(CLOSEST, photo.width), photo.width);
  const height = (width * photo.height) / photo.width;
  const view = { x: clamp(x, 0, photo.width - width), y: clamp(y, 0, photo.height - height), width, height };
  for (const other of alike(viewer)) {
    other.view = view;
    other.redraw();
  }
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
  for (const other of alike(viewer)) {
    other.cross = at;
    other.redraw();
  }
}

// ------------------------------------------------------------------------------------------ mouse and touch

/** Where on the photo a pointer is. */
function placeOf({ view: { x, y, width } }, picture, { clientX, clientY }) {
  const box = picture.getBoundingClientRect();
  const scale = width / box.width;
  return { x: x + (clientX - box.left) * scale, y: y + (clientY - box.top) * scale };
}

/** The cross follows the pointer; a still press shows the photo. Dragging and zooming are Plotly's own. */
function listenToPointers(viewer, picture) {
  let start, timer;
  const follow = (event) => point(viewer, placeOf(viewer, picture, event));
  const end = () => {
    clearTimeout(timer);
    bare(viewer, false);
  };
  picture.addEventListener("pointermove", follow);
  picture.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(viewer, null));
  picture.addEventListener("pointerdown", (event) => {
    clearTimeout(timer);
    if (event.button || !event.isPrimary || isMarked(viewer)) return;
    follow(event);
    start = event;
    timer = setTimeout(() => bare(viewer, true), HOLD_MS);
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, end, { once: true });
  }, true);
  window.addEventListener("pointermove", (event) => start && apart(start, event) > STILL_PX && clearTimeout(timer));
  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); // the page scrolls
  }, true);
  picture.oncontextmenu = (event) => {
    if (event.pointerType === "touch") event.preventDefault(); // a mouse gets its menu
  };
}

/** Two fingers zoom and move: what is between them stays between them. With one finger the page scrolls. */
function listenToFingers(viewer, picture) {
  let before = null;
  const grip = ({ touches: [a, b] }) => ({
    clientX: (a.clientX + b.clientX) / 2,
    clientY: (a.clientY + b.clientY) / 2,
    span: apart(a, b),
  });
  const pinch = (event) => {
    const two = event.touches.length === 2;
    const now = two && grip(event);
    if (two) {
      event.preventDefault();
      event.stopPropagation(); // Plotly would drag with one of them
    }
    if (two && before) {
      zoom(viewer, now.span / before.span, placeOf(viewer, picture, before));
      const [from, to] = [before, now].map((at) => placeOf(viewer, picture, at));
      move(viewer, { x: viewer.view.x + from.x - to.x, y: viewer.view.y + from.y - to.y, width: viewer.view.width });
    }
    before = now || null;
  };
  const act = { capture: true, passive: false };
  for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"]) picture.addEventListener(name, pinch, act);
}

// ------------------------------------------------------------------------------------------------- marking

/** Whether a drag over this viewer's pictures marks the object. */
const isMarked = (viewer) => Boolean(viewer.scene.markable) && marking !== "zoom";

/** A drag of one pointer draws a box or an outline; what it encloses is marked when it ends. A second finger stops it. */
function listenToMarks(viewer, picture, sketch) {
  let points = null;
  let pointer = null;
  const at = (event) => onPhoto(viewer, placeOf(viewer, picture, event));
  const stop = () => {
    points = pointer = null;
    sketch.replaceChildren();
  };
  picture.addEventListener("pointerdown", (event) => {
    if (points) return stop();
    if (event.button || !event.isPrimary || !isMarked(viewer)) return;
    picture.setPointerCapture((pointer = event.pointerId));
    points = [at(event)];
  });
  picture.addEventListener("pointermove", (event) => {
    if (!points || event.pointerId !== pointer) return;
    points = marking === "box" ? [points[0], at(event)] : [...points, at(event)];
    draft(viewer, sketch, marking === "box" ? boxOf(points) : points);
  });
  picture.addEventListener("pointerup", (event) => {
    if (!points || event.pointerId !== pointer) return;
    const drawn = marking === "box" ? points : outlineOf(viewer, points);
    if (finish(viewer, drawn, marking === "box" ? 2 : 3)) points = pointer = null; // the sketch stays till the mark comes
    else stop();
  });
  picture.addEventListener("pointercancel", stop);
}

/** Tell what was marked; false for what encloses nothing. */
function finish(viewer, points, least) {
  const corners = points.map(({ x, y }) => [Math.round(x), Math.round(y)]);
  const [xs, ys] = [0, 1].map((axis) => new Set(corners.map((corner) => corner[axis])));
  const encloses = corners.length >= least && xs.size > 1 && ys.size > 1;
  if (encloses) viewer.mark(corners);
  return encloses;
}

/** Put a corner of a box at the cross; the second one finishes it. */
function putCorner(viewer) {
  if (!isMarked(viewer) || !viewer.cross) return;
  const { x, y } = viewer.cross;
  const from = viewer.corner;
  viewer.corner = from ? null : { x, y };
  if (!from) viewer.spoken.textContent = `First corner at ${Math.round(x)}, ${Math.round(y)}`;
  else viewer.spoken.textContent = finish(viewer, [from, { x, y }], 2) ? "Marked" : "Nothing marked: the corners enclose nothing";
}

/** Show what is being drawn, until the scene that has it comes. */
function draft({ view: { x, y, width, height } }, sketch, points) {
  const line = `points="${points.map((point) => `${point.x},${point.y}`).join(" ")}" fill="none" vector-effect="non-scaling-stroke"`;
  sketch.innerHTML =
    `<svg viewBox="${x} ${y} ${width} ${height}" preserveAspectRatio="none">` +
    `<polygon ${line} stroke="#141414" stroke-width="4"/><polygon ${line} stroke="#f5f5f5" stroke-width="2" stroke-dasharray="6 4"/></svg>`;
}

const boxOf = ([a, b]) => [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];

function onPhoto({ scene: { photo } }, { x, y }) {
  return { x: clamp(x, 0, photo.width), y: clamp(y, 0, photo.height) };
}

/** A drawn line with as few corners as show it. */
function outlineOf({ view }, points) {
  let tolerance = view.width / 200;
  let corners = points;
  while (corners === points || corners.length > MOST_CORNERS) corners = simplified(points, (tolerance *= 1.5));
  return corners;
}

/** The points of a line without those that lie within `tolerance` of the line through the others. */
function simplified(points, tolerance) {
  const [a, b] = [points[0], points.at(-1)];
  const span = between(a, b);
  const off = ({ x, y }) => (span ? Math.abs((b.x - a.x) * (a.y - y) - (a.x - x) * (b.y - a.y)) / span : between(a, { x, y }));
  const far = points.reduce((best, point, index) => (off(point) > off(points[best]) ? index : best), 0);
  if (off(points[far]) <= tolerance) return [a, b];
  return [...simplified(points.slice(0, far + 1), tolerance).slice(0, -1), ...simplified(points.slice(far), tolerance)];
}

/** Zooming or moving one figure by Plotly's own means is zooming or moving all. */
function listenToPlot(viewer, panel) {
  const { place } = panel.plot;
  const adopt = (x, y, done) => {
    panel.moving = !done;
    panel.shown = { ...panel.shown, "xaxis.range": x, "yaxis.range": y };
    move(viewer, { x: Math.min(...x), y: Math.min(...y), width: Math.abs(x[1] - x[0]) });
  };
  place.on("plotly_relayouting", (said) => {
    const range = (axis) => [said[`${axis}.range[0]`], said[`${axis}.range[1]`]];
    if ("xaxis.range[0]" in said && "yaxis.range[0]" in said) adopt(range("xaxis"), range("yaxis"), false);
  });
  place.on("plotly_relayout", () => {
    const { xaxis, yaxis } = place.layout;
    const known = JSON.stringify([panel.shown["xaxis.range"], panel.shown["yaxis.range"]]);
    if (panel.moving || JSON.stringify([xaxis.range, yaxis.range]) !== known) adopt(xaxis.range, yaxis.range, true);
  });
  place.on("plotly_doubleclick", () => move(viewer, whole(viewer.scene.photo)));
}

// ------------------------------------------------------------------------------------------------ keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function listenToKeys(viewer, stage) {
  stage.onkeydown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target !== stage) return;
    const act = ARROWS[event.key] ? () => step(viewer, ARROWS[event.key], event.shiftKey) : KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(viewer);
  };
  stage.onkeyup = (event) => {
    if (event.key === " ") bare(viewer, false);
  };
  stage.onblur = () => bare(viewer, false);
}

const KEYS = {
  "+": (viewer) => zoom(viewer, 1.5),
  "=": (viewer) => zoom(viewer, 1.5),
  "-": (viewer) => zoom(viewer, 1 / 1.5),
  0: (viewer) => move(viewer, whole(viewer.scene.photo)),
  " ": (viewer) => bare(viewer, true),
  Enter: putCorner,
  Escape: (viewer) => point(viewer, (viewer.corner = null)),
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
    viewer.spoken.textContent = viewer.panels.map((panel) => `${panel.title}: ${valueWords(panel)}`).join("; ");
  }, 500);
}

// ------------------------------------------------------------------------------------------------- drawing

function draw(viewer) {
  const { scene, look, view, stage, panels } = viewer;
  stage?.classList.toggle("zoomed", view.width < scene.photo.width);
  stage?.classList.toggle("bare", viewer.bare);
  stage?.classList.toggle("marking", isMarked(viewer));
  for (const { ramp, diverging } of viewer.legend?.scales ?? []) {
    const colours = diverging ? viewer.diverging : viewer.colours[look.colormap];
    ramp.style.background = gradient(colours, look.threshold, diverging);
  }
  // All is measured before anything is drawn: after another panel has changed, each would lay the page out anew.
  const { fontFamily } = getComputedStyle(viewer.root);
  const sizes = panels.map(({ plot: { place } }) => ({ width: place.clientWidth, height: place.clientHeight }));
  panels.forEach((panel, index) => {
    drawPanel(viewer, panel, sizes[index], fontFamily);
    pointIn(viewer, panel);
  });
}

/** Tell Plotly what has changed since it was last told. */
function drawPanel(viewer, panel, { width, height }, fontFamily) {
  const { place, data, layout } = panel.plot;
  if (!width || panel.moving) return;
  const { view, look, scene } = viewer;
  const now = {
    width,
    height,
    "xaxis.range": [view.x, view.x + view.width],
    "yaxis.range": [view.y + view.height, view.y],
    dragmode: isMarked(viewer) ? false : view.width < scene.photo.width ? "pan" : isTouched() ? false : "zoom",
  };
  const style = { opacity: viewer.bare ? 0 : look.opacity, colours: `${look.colormap} ${look.threshold} ${look.blend}` };
  const before = panel.shown;
  panel.shown = { ...now, ...style };
  const table = panel.diverging ? viewer.diverging : viewer.colours[look.colormap];
  const colours = () => plotlyScale(table, look, panel.diverging);
  if (!before) {
    const { "xaxis.range": x, "yaxis.range": y, ...rest } = now;
    const traces = data.map((trace) => ({ ...trace, opacity: style.opacity, colorscale: colours() }));
    Plotly.newPlot(place, traces, {
      ...layout,
      ...rest,
      xaxis: { ...layout.xaxis, range: x },
      yaxis: { ...layout.yaxis, range: y },
      images: [photoIn(scene.photo, panel)],
      hoverlabel: { ...layout.hoverlabel, font: { ...layout.hoverlabel.font, family: fontFamily } },
    }, CONFIG);
    place.querySelector(".main-svg:last-of-type").before(panel.cross); // which holds what Plotly says
    listenToPlot(viewer, panel);
    return;
  }
  const moved = Object.fromEntries(Object.entries(now).filter(([key, value]) => String(value) !== String(before[key])));
  if (Object.keys(moved).length) Plotly.relayout(place, moved);
  if (!data.length) return;
  if (style.colours !== before.colours) Plotly.restyle(place, { colorscale: [colours()] });
  if (style.opacity !== before.opacity) Plotly.restyle(place, { opacity: style.opacity });
}

const photoIn = ({ uri, width, height }, { reason, uri: own }) => ({
  source: own ?? uri, xref: "x", yref: "y", x: 0, y: 0, sizex: width, sizey: height,
  sizing: "stretch", layer: "below", opacity: reason ? 0.35 : 1,
});

/** The cross, and beside it what Plotly says of the cell there. */
function pointIn({ cross, view }, panel) {
  const seen = cross && inside(view, cross);
  panel.cross.hidden = !seen;
  if (seen) {
    panel.cross.style.setProperty("--x", `${(100 * (cross.x - view.x)) / view.width}%`);
    panel.cross.style.setProperty("--y", `${(100 * (cross.y - view.y)) / view.height}%`);
  }
  const { place, data } = panel.plot;
  if (!data.length || !place.data) return;
  if (seen) Plotly.Fx.hover(place, { xval: cross.x, yval: cross.y }, "xy");
  else Plotly.Fx.unhover(place);
}

/** What a panel says under the cross, as it is written there. */
function valueWords({ plot, note, reason }) {
  const lines = [...plot.place.querySelectorAll(".hoverlayer .hovertext tspan.line")].map((line) => line.textContent);
  return lines.join(", ") || note || (reason ? "no map" : "not seen by the model");
}

/** Colours as Plotly takes them, clear below the threshold and, as evidence, clearer the less heat there is; around
 *  zero where they diverge. */
function plotlyScale(colours, { threshold, blend }, diverging) {
  const heat = (place) => (diverging ? Math.abs(2 * place - 1) : place);
  const opaque = (place) => (blend === "evidence" ? heat(place) : 1);
  const colour = (i, alpha) => `rgba(${colours[3 * i]},${colours[3 * i + 1]},${colours[3 * i + 2]},${alpha})`;
  const [low, high] = diverging ? [(1 - threshold) / 2, (1 + threshold) / 2] : [0, threshold];
  const stops = Array.from({ length: 256 }, (_, i) => [i / 255, colour(i, opaque(i / 255))]);
  if (!threshold) return stops;
  const edge = (place, ...alphas) => alphas.map((alpha) => [place, colour(Math.round(255 * place), alpha)]);
  return [
    ...(diverging ? [...stops.filter(([place]) => place < low), ...edge(low, opaque(low), 0)] : edge(0, 0)),
    ...edge(high, 0, opaque(high)),
    ...stops.filter(([place]) => place > high),
  ];
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

function onceAFrame(act) {
  let asked = 0;
  return () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(act);
  };
}

/** Text with each number and its % on one line. */
const unbroken = (text) => text.replaceAll(" %", "\u00a0%");
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const between = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
const inside = (view, { x, y }) => x >= view.x && y >= view.y && x <= view.x + view.width && y <= view.y + view.height;
