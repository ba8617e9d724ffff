// Lines and zones over the pictures: what is counted there, and drawing new ones by mouse or finger.

import { make, put } from "./pictures.js";
import { say } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const TEXT = 13, ARROW = 18, NEAR = 16; // pixels of the screen; nearer to its first corner, a zone is closed

function draw(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** "3 in · 1 out", "2 now · 5 entered". */
export function counts(camera, shape, anonymous = false) {
  const numbers = (shape.kind === "line" ? camera.lines : camera.zones)?.[shape.name];
  const told = (number) => (anonymous && !number ? say("fewer_than_5") : number);
  const { in: inwards, out, now, entered } = numbers ?? {};
  if (!numbers) return "";
  return shape.kind === "line"
    ? say("line_counts", { in: told(inwards), out: told(out) })
    : say("zone_counts", { now: told(now), entered: told(entered) });
}

/** A path through points twice, dark below light, so that it shows on everything. */
function twice(d, closed = false) {
  return [draw("path", { d, class: "halo" }), draw("path", { d, class: closed ? "ink zone" : "ink" })];
}

const through = (points) => `M${points.map((point) => point.join(" ")).join("L")}`;

/** What shows one shape in an image of that size, its text off those that are `taken`, which grows; `unit` is a pixel of the screen. */
function drawn(camera, shape, [width, height], unit, taken) {
  const points = shape.points.map(([x, y]) => [x * width, y * height]);
  const isLine = shape.kind === "line", parts = twice(through(points) + (isLine ? "" : "Z"), !isLine);
  let [x, y] = isLine ? points[0] : points.reduce((high, one) => (one[1] < high[1] ? one : high));
  if (isLine) {
    const [[x1, y1], [x2, y2]] = points, long = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [ax, ay] = [(x2 - x1) / long * unit, (y2 - y1) / long * unit], [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const tip = [mx - ay * ARROW, my + ax * ARROW]; // to the right of the line
    const barb = (side) => [tip[0] + 7 * (side * ax + ay), tip[1] + 7 * (side * ay - ax)];
    parts.push(...twice(through([[mx, my], tip]) + through([barb(1), tip, barb(-1)])));
  }
  const text = draw("text", { "font-size": TEXT * unit }, `${shape.name}: ${counts(camera, shape)}`);
  const room = text.textContent.length * 0.6 * TEXT * unit; // as wide as it will be, about
  x = Math.max(0, Math.min(x, width - room));
  y = y > 2 * TEXT * unit ? y - 6 * unit : y + 1.5 * TEXT * unit;
  const line = 1.3 * TEXT * unit;
  while (taken.some(([left, base, wide]) => Math.abs(base - y) < line && left < x + room && x < left + wide)) y += line;
  taken.push([x, y, room]);
  text.setAttribute("x", x);
  text.setAttribute("y", y);
  return [...parts, text];
}

export class Zones {
  /**
   * @param {Pictures} pictures whose screens are drawn on.
   * @param {(wish: object) => Promise<string>} change asks the program; answers what it refused.
   */
  constructor(pictures, change) {
    Object.assign(this, { pictures, change, draft: null, boards: new Map() });
    addEventListener("keydown", (event) => this.key(event));
  }

  show(cameras, mayDraw) {
    this.cameras = cameras;
    for (const camera of cameras) {
      const screen = this.pictures.screens.get(camera.name);
      const board = this.boards.get(camera.name) ?? this.add(camera.name, screen);
      board.pen.hidden = !mayDraw;
      const [width, height] = camera.size_wh, { clientWidth, clientHeight } = screen.picture;
      board.unit = width / Math.max(1, Math.min(clientWidth, clientHeight * width / height));
      board.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const shapes = this.pictures.mode === "webrtc" ? [] : camera.shapes; // else they are in the video
      const taken = [];
      board.shapes.replaceChildren(...shapes.flatMap((shape) => drawn(camera, shape, camera.size_wh, board.unit, taken)));
    }
  }

  add(name, screen) {
    const spoken = name || say("the_picture");
    const svg = draw("svg", { class: "shapes", "aria-hidden": "true" });
    const board = { svg, shapes: svg.appendChild(draw("g", {})), sketch: svg.appendChild(draw("g", {})), screen };
    screen.faces.before(svg);
    board.pen = make("button", { type: "button", title: say("draw") });
    board.pen.append(draw("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: "M4 20l1-5L16 4l4 4L9 19z" })));
    board.pen.setAttribute("aria-label", say("draw_in", { camera: spoken }));
    board.pen.setAttribute("aria-pressed", "false");
    board.pen.onclick = () => (this.draft?.name === name ? this.stop() : this.start(name));
    screen.grow.before(board.pen);
    const button = (key, act) => make("button", { type: "button", textContent: say(key), onclick: act });
    board.label = make("input", { type: "text", maxLength: 40, placeholder: say("shape_name"), autocomplete: "off" });
    board.label.setAttribute("aria-label", say("shape_name"));
    board.told = make("p", { textContent: say("draw_hint") });
    board.told.setAttribute("role", "status");
    board.done = button("done", () => this.finish());
    board.tools = make("div", { className: "tools", hidden: true }, board.told, board.label, board.done, button("undo", () => this.undo()), button("cancel", () => this.stop()));
    screen.figure.append(board.tools);
    svg.addEventListener("click", (event) => event.stopPropagation()); // while drawing; else clicks pass through
    svg.addEventListener("pointerup", (event) => this.point(event, true));
    svg.addEventListener("pointermove", (event) => this.point(event, false));
    this.boards.set(name, board);
    return board;
  }

  start(name) {
    this.stop();
    this.draft = { name, points: [], at: null };
    const board = this.boards.get(name);
    board.tools.hidden = false;
    board.label.value = "";
    put(board.told, say("draw_hint"));
    board.pen.setAttribute("aria-pressed", "true");
    board.svg.classList.add("drawing");
    this.sketch();
  }

  stop() {
    if (!this.draft) return;
    const board = this.boards.get(this.draft.name);
    board.tools.hidden = true;
    board.pen.setAttribute("aria-pressed", "false");
    board.svg.classList.remove("drawing");
    board.sketch.replaceChildren();
    this.draft = null;
  }

  undo() {
    this.draft.points.pop();
    this.sketch();
  }

  key(event) {
    if (!this.draft) return;
    if (event.key === "Escape") this.stop();
    else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) this.finish();
    else if (event.key === "Backspace" && event.target !== this.boards.get(this.draft.name).label) this.undo();
  }

  /** Take a point, or show where it would be. */
  point(event, taken) {
    if (!this.draft || event.button > 0) return;
    const board = this.boards.get(this.draft.name), { points } = this.draft;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(board.svg.getScreenCTM().inverse());
    const { width, height } = board.svg.viewBox.baseVal;
    const inside = (number) => Math.min(1, Math.max(0, number)); // a finger at the edge means the edge
    const xy = [inside(at.x / width), inside(at.y / height)];
    if (taken) {
      const [x, y] = points[0] ?? [-9, -9];
      const near = Math.hypot((x - xy[0]) * width, (y - xy[1]) * height) < NEAR * board.unit;
      if (near && points.length > 2) return this.finish();
      points.push(xy);
    }
    this.draft.at = taken || event.pointerType === "touch" ? null : xy;
    this.sketch();
  }

  sketch() {
    const board = this.boards.get(this.draft.name), { width, height } = board.svg.viewBox.baseVal;
    const at = (xy) => [xy[0] * width, xy[1] * height];
    const { points } = this.draft, shown = [...points, ...(this.draft.at && points.length ? [this.draft.at] : [])].map(at);
    const dots = points.map(at).map(([cx, cy]) => draw("circle", { cx, cy, r: 6 * board.unit, class: "dot-on" }));
    board.sketch.replaceChildren(...(shown.length > 1 ? twice(through(shown)) : []), ...dots);
    board.done.disabled = points.length < 2;
  }

  async finish() {
    const { name, points } = this.draft, board = this.boards.get(name);
    if (points.length < 2) return;
    const refused = await this.change({ draw: { camera: name, points, name: board.label.value.trim() } });
    if (refused) put(board.told, refused);
    else this.stop();
  }
}
