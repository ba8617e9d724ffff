// The live pictures: one answer brings the frames of all cameras, the page draws the labels.

import { say } from "./texts.js";

const RETRY_MS = 1000;
const NARROW = 480; // pixels; a narrower picture has short labels
const LINE = 18, LETTER = 7.6, PADDING = 16; // of a label, pixels
const ICONS = { // paths in a square of 24
  grow: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  save: "M12 4v11m0 0-4.5-4.5M12 15l4.5-4.5M5 20h14",
};
const query = (name) => `?camera=${encodeURIComponent(name)}`;

export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Write a label; doubtful words end in a question mark and are fainter. */
function write(label, text) {
  if (label.textContent === text) return;
  const words = text.split(/(\S*\?(?=\s|$))/).filter(Boolean);
  label.replaceChildren(...words.map((word) => (word.endsWith("?") ? make("i", { textContent: word }) : word)));
}

function icon(name) {
  const SVG = "http://www.w3.org/2000/svg";
  const [svg, path] = [document.createElementNS(SVG, "svg"), document.createElementNS(SVG, "path")];
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Yields {head, file} of each part of /live; see `LiveImages.part`. */
async function* parts(body) {
  const reader = body.getReader();
  let held = new Uint8Array(0);
  const has = async (length) => {
    while (held.length < length) {
      const { done, value } = await reader.read();
      if (done) return false;
      const joined = new Uint8Array(held.length + value.length);
      joined.set(held);
      joined.set(value, held.length);
      held = joined;
    }
    return true;
  };
  while (await has(8)) {
    const view = new DataView(held.buffer, held.byteOffset);
    const [head, file] = [view.getUint32(0), view.getUint32(4)];
    if (!(await has(8 + head + file))) return;
    yield {
      head: JSON.parse(new TextDecoder().decode(held.subarray(8, 8 + head))),
      file: new Blob([held.subarray(8 + head, 8 + head + file)], { type: "image/jpeg" }),
    };
    held = held.slice(8 + head + file);
  }
}

/** Where a label fits: inside the picture, and off those that are `taken`, which grows. */
function placed(lines, [x1, y1, x2, y2], [width, height], taken) {
  const w = Math.max(...lines.map((line) => line.length)) * LETTER + PADDING, h = lines.length * LINE + 5;
  const places = [["", x1, y1 - h], ["left", x2 - w, y1 - h], ["below", x1, y2], ["below left", x2 - w, y2]];
  const inside = ([, x, y]) => x >= 0 && y >= 0 && x + w <= width && y + h <= height;
  const free = ([, x, y]) => !taken.some(([a, b, c, d]) => x < c && a < x + w && y < d && b < y + h);
  const found = places.find((one) => inside(one) && free(one)) ?? places.find(inside) ?? places[0];
  taken.push([found[1], found[2], found[1] + w, found[2] + h]);
  return found[0];
}

export class Pictures {
  /** @param {HTMLElement} box is filled with a figure for each camera. */
  constructor(box) {
    this.box = box;
    this.screens = new Map(); // camera name -> its elements
    this.mode = "jpeg";
    this.labels = "auto";
    this.large = null; // name of the enlarged camera
    this.live = null; // what ends the present answer
    this.onMode = () => {};
    addEventListener("keydown", (event) => event.key === "Escape" && !this.box.querySelector(".drawing") && this.enlarge(null));
  }

  /** Show these cameras; `told(camera)` is what the caption says of one. */
  show(cameras, told) {
    Object.assign(this, { cameras, told });
    const known = this.screens.size;
    for (const camera of cameras) {
      const screen = this.screens.get(camera.name) ?? this.add(camera.name);
      const [width, height] = camera.size_wh, fine = camera.state === "live" || camera.state === "ended";
      screen.ratio = width / height;
      screen.figure.style.setProperty("--ratio", screen.ratio);
      screen.figure.classList.toggle("away", !fine);
      put(screen.name, camera.name || `${width} × ${height}`);
      screen.name.title = screen.name.textContent;
      put(screen.told, told(camera));
      screen.veil.hidden = camera.state === "ended" || (camera.state === "live" && !camera.detail);
      const state = say(`state_${camera.state}`);
      put(screen.veil, camera.state === "live" ? camera.detail : `${state}${camera.detail ? `: ${camera.detail}` : ""}`);
    }
    this.box.classList.toggle("many", cameras.length > 1);
    const small = cameras.length - (this.large !== null); // those that are not enlarged
    const columns = this.large !== null ? [4, 3, 2].find((count) => small % count === 0) ?? 3 : small > 4 ? 3 : 2;
    this.box.style.setProperty("--columns", this.large !== null ? Math.min(columns, small) : columns);
    this.box.dataset.rest = this.large === null ? small % columns : 0;
    if (this.screens.size !== known) this.restart();
  }

  add(name) {
    const spoken = name || say("the_picture");
    const picture = make("div", { className: "screen" });
    const faces = make("div", { className: "faces" });
    const veil = make("p", { className: "veil", hidden: true });
    const title = make("span", { className: "name" });
    const told = make("span", { className: "told" });
    const still = make("a", { className: "button", href: `snapshot.jpg${query(name)}`, title: say("save_still"), download: "" }, icon("save"));
    still.setAttribute("aria-label", say("save_still_of", { camera: spoken }));
    const grow = make("button", { type: "button", className: "grow", title: say("enlarge") }, icon("grow"));
    grow.setAttribute("aria-label", say("enlarge_camera", { camera: spoken }));
    grow.setAttribute("aria-pressed", "false");
    grow.onclick = picture.onclick = () => this.enlarge(this.large === name ? null : name);
    const figure = make("figure", { className: "camera" }, picture, make("figcaption", {}, title, told, grow, still));
    picture.append(faces, veil);
    this.box.append(figure);
    const screen = { figure, picture, faces, veil, name: title, told, grow, view: null, call: null, head: null };
    this.screens.set(name, screen);
    return screen;
  }

  enlarge(name) {
    if (this.screens.size < 2 || this.large === name) return;
    this.large = name;
    for (const [each, screen] of this.screens) {
      screen.figure.classList.toggle("enlarged", each === name);
      screen.grow.setAttribute("aria-pressed", each === name);
    }
    this.show(this.cameras, this.told);
    if (name !== null) this.screens.get(name).figure.scrollIntoView({ block: "nearest" });
    if (this.mode === "jpeg") this.restart();
  }

  /** Begin again, or let go of everything while nobody looks at the page. */
  restart() {
    this.live?.abort();
    this.live = null;
    for (const [name, screen] of this.screens) {
      screen.call?.close();
      screen.call = null;
      if (this.mode === "webrtc" || !(screen.view instanceof HTMLCanvasElement)) this.replaceView(name, screen);
      if (this.mode === "webrtc" && !document.hidden) {
        const view = screen.view;
        this.call(name, screen).catch(() => screen.view === view && this.choose("jpeg"));
      }
    }
    if (this.mode === "jpeg" && this.screens.size && !document.hidden) this.watch(this.live = new AbortController());
  }

  replaceView(name, screen) {
    screen.view?.remove();
    screen.faces.replaceChildren();
    const isVideo = this.mode === "webrtc";
    screen.view = make(isVideo ? "video" : "canvas", isVideo ? { autoplay: true, muted: true, playsInline: true } : {});
    screen.view.setAttribute("role", "img");
    screen.view.setAttribute("aria-label", name ? say("live_picture_of", { camera: name }) : say("live_picture"));
    screen.picture.prepend(screen.view);
  }

  async watch(live) {
    try {
      const large = this.large === null ? "" : `?large=${encodeURIComponent(this.large)}`;
      const answer = await fetch(`live${large}`, { signal: live.signal });
      for await (const { head, file } of parts(answer.body)) {
        const screen = this.screens.get(head.camera);
        if (!screen || !answer.ok) continue;
        const image = await createImageBitmap(file);
        if (this.live !== live) return image.close();
        if (screen.view.width !== image.width || screen.view.height !== image.height) Object.assign(screen.view, { width: image.width, height: image.height });
        screen.view.getContext("2d").drawImage(image, 0, 0);
        image.close();
        screen.head = head;
        this.drawFaces(screen);
      }
    } catch (error) {
      if (live.signal.aborted) return;
    }
    setTimeout(() => this.live === live && !document.hidden && this.restart(), RETRY_MS);
  }

  /** Put boxes and labels over a frame, in the page's own size of text. */
  drawFaces(screen) {
    const old = screen.faces.children, faces = screen.head.faces;
    // The image is as large as the screen allows, and centred.
    const [w, h] = [screen.picture.clientWidth, screen.picture.clientHeight];
    const width = Math.min(w, h * screen.ratio), height = width / screen.ratio;
    Object.assign(screen.faces.style, { left: `${(w - width) / 2}px`, top: `${(h - height) / 2}px`, width: `${width}px`, height: `${height}px` });
    while (old.length > faces.length) old[old.length - 1].remove();
    const kind = width < NARROW && this.labels === "auto" ? "short" : this.labels, taken = [];
    faces.forEach((face, place) => {
      const box = old[place] ?? screen.faces.appendChild(make("div", { className: "face" }, make("span")));
      const [x1, y1, x2, y2] = face.box;
      box.style.cssText = `left:${100 * x1}%;top:${100 * y1}%;width:${100 * (x2 - x1)}%;height:${100 * (y2 - y1)}%;--colour:${face.colour}`;
      box.classList.toggle("missed", face.missed);
      const lines = face.missed ? [] : face.labels[kind];
      const label = box.firstChild;
      write(label, lines.join("\n"));
      label.hidden = !lines.length;
      if (lines.length) label.className = placed(lines, [x1 * width, y1 * height, x2 * width, y2 * height], [width, height], taken);
    });
  }

  relabel(labels) {
    this.labels = labels;
    for (const screen of this.screens.values()) if (screen.head && this.mode === "jpeg") this.drawFaces(screen);
  }

  async call(name, screen) {
    const connection = new RTCPeerConnection({ iceServers: [] });
    screen.call = connection;
    const view = screen.view;
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.ontrack = (event) => { view.srcObject = new MediaStream([event.track]); };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "failed" && screen.call === connection) this.choose("jpeg");
    };
    await connection.setLocalDescription(await connection.createOffer());
    await new Promise((resolve) => {
      if (connection.iceGatheringState === "complete") resolve();
      connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
      setTimeout(resolve, 1000);
    });
    const answer = await fetch(`offer${query(name)}`, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ type: "offer", sdp: connection.localDescription.sdp }),
    });
    if (!answer.ok) throw new Error(answer.statusText);
    await connection.setRemoteDescription(await answer.json());
  }

  /** Switch to "jpeg" or "webrtc"; back to the first where the second does not come about. */
  choose(mode) {
    this.mode = mode;
    this.onMode(mode);
    this.restart();
  }
}
