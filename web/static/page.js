// The page: asks for /state.json twice a second, and shows it beside the live pictures.

import { drawGroups, drawTimeline } from "./plots.js";

const EVERY_MS = 500;
const PATIENCE_MS = 5000;
const STREAMS = 4; // browsers open six connections to a host; more cameras come as stills in turn
const SPANS = { // steps to show, how long that is, and half of it
  recent: [[12, "1 min", "30 s"], [24, "2 min", "1 min"], [60, "5 min", "2½ min"], [120, "10 min", "5 min"]],
  day: [[8, "2 h", "1 h"], [16, "4 h", "2 h"], [32, "8 h", "4 h"], [96, "24 h", "12 h"]],
};
const $ = (id) => document.getElementById(id);
const screens = new Map(); // camera name -> its elements
let state = null, drawn = {}, stillsTurn = 0, mode = "mjpeg";

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });
const lower = (number) => (number === null || number === undefined ? "< 5" : number);
const query = (name) => `?camera=${encodeURIComponent(name)}`;

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(Math.floor(seconds) % 60)}`;
}

// The pictures

function addScreen(camera) {
  const picture = make("div", { className: "screen" });
  const veil = make("p", { className: "veil", hidden: true });
  const name = make("span", { className: "name" });
  const told = make("span", { className: "told" });
  const still = make("a", { className: "button", href: `snapshot.jpg${query(camera.name)}`, textContent: "Save still" });
  still.download = "";
  still.setAttribute("aria-label", `Save a still of ${camera.name || "the picture"}`);
  const figure = make("figure", { className: "camera" }, picture, make("figcaption", {}, name, told, still));
  picture.append(veil);
  $("cameras").append(figure);
  const screen = { figure, picture, veil, name, told, view: null, call: null };
  screens.set(camera.name, screen);
  return screen;
}

/** Let go of a picture's connection. */
function stop(screen) {
  screen.call?.close();
  screen.call = null;
  if (screen.view instanceof HTMLImageElement) Object.assign(screen.view, { onerror: null, src: "" });
  screen.view?.remove();
  screen.view = null;
}

function start(name, screen) {
  stop(screen);
  const label = name ? `Live picture of ${name}` : "Live picture";
  if (mode === "webrtc") {
    screen.view = make("video", { autoplay: true, muted: true, playsInline: true });
    screen.view.setAttribute("aria-label", label);
    const view = screen.view;
    call(name, screen).catch(() => screen.view === view && choose("mjpeg"));
  } else {
    screen.view = make("img", { alt: label });
    if (screens.size <= STREAMS) {
      screen.view.src = `stream.mjpeg${query(name)}`;
      screen.view.onerror = () => setTimeout(() => screen.view && !document.hidden && start(name, screen), 1000);
    }
  }
  screen.picture.prepend(screen.view);
}

async function call(name, screen) {
  const connection = new RTCPeerConnection({ iceServers: [] });
  screen.call = connection;
  const view = screen.view;
  connection.addTransceiver("video", { direction: "recvonly" });
  connection.ontrack = (event) => { view.srcObject = new MediaStream([event.track]); };
  connection.onconnectionstatechange = () => {
    if (connection.connectionState === "failed" && screen.call === connection) choose("mjpeg");
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

function restart() {
  for (const [name, screen] of screens) document.hidden ? stop(screen) : start(name, screen);
}

/** Switch to "mjpeg" or "webrtc"; back to the first where the second does not come about. */
function choose(chosen) {
  mode = chosen;
  for (const input of document.querySelectorAll("input[name=mode]")) input.checked = input.value === chosen;
  restart();
}

/** With many cameras: one still at a time, round and round. */
async function stillsInTurn() {
  const names = [...screens.keys()];
  let pause = 1000;
  if (names.length > STREAMS && mode === "mjpeg" && !document.hidden) {
    const name = names[stillsTurn++ % names.length], screen = screens.get(name);
    await new Promise((resolve) => {
      if (!screen.view) return resolve();
      screen.view.onload = screen.view.onerror = resolve;
      screen.view.src = `snapshot.jpg${query(name)}&turn=${stillsTurn}`;
    });
    pause = 60;
  }
  setTimeout(stillsInTurn, pause);
}

function showCameras(cameras) {
  const known = screens.size;
  for (const camera of cameras) {
    const screen = screens.get(camera.name) ?? addScreen(camera);
    const [width, height] = camera.size_wh, live = camera.state === "live";
    screen.picture.style.aspectRatio = `${width} / ${height}`;
    screen.figure.classList.toggle("away", !live);
    put(screen.name, camera.name || `${width} × ${height}`);
    const words = [];
    if (cameras.length > 1) words.push(camera.people_now === null && !live ? "–" : `${lower(camera.people_now)} people`, `${camera.fps} fps`);
    else if (camera.time_s !== null) words.push(duration(camera.time_s));
    if (camera.load) words.push(camera.load);
    put(screen.told, words.join(" · "));
    screen.veil.hidden = live && !camera.detail;
    put(screen.veil, live ? camera.detail : `${camera.state}${camera.detail ? `: ${camera.detail}` : ""}`);
  }
  $("cameras").classList.toggle("many", cameras.length > 1);
  if (screens.size !== known) restart();
}

// The figures

function showTiles(now) {
  const cameras = now.cameras, live = cameras.filter((camera) => camera.state === "live");
  const ages = live.map((camera) => camera.frame_age_ms).filter((age) => age !== null);
  const sum = (key) => cameras.reduce((total, camera) => total + camera[key], 0);
  put($("now"), now.people_now_known ? lower(now.people_now) : "–");
  put($("today"), lower(now.people_today));
  put($("fps"), live.length ? live.reduce((total, camera) => total + camera.fps, 0).toFixed(1) : "–");
  put($("age"), ages.length ? `${Math.max(...ages)} ms` : "–");
  put($("dropped"), sum("dropped"));
  put($("reconnects"), sum("reconnects"));
}

function showGroups(now) {
  const key = JSON.stringify([now.groups, $("groups").clientWidth]);
  if (key === drawn.groups) return;
  drawn.groups = key;
  $("legend").replaceChildren(...now.genders.map((gender) => {
    const numbers = now.groups.filter((group) => group.gender === gender).map((group) => group.people);
    const total = numbers.reduce((all, number) => all + (number ?? 0), 0);
    const item = make("li", {}, make("i", { className: gender }), `${gender || "people"} `);
    item.append(make("b", { textContent: now.anonymous && !total ? "< 5" : total }));
    return item;
  }));
  drawGroups($("groups"), now.bands, now.genders, now.groups);
}

function showTimeline(now) {
  const span = document.querySelector("input[name=span]:checked").value;
  const all = now.timelines[span], first = all.findIndex((number) => number !== null);
  const needed = first < 0 ? 0 : all.length - first;
  const [steps, length, half] = SPANS[span].find(([steps]) => steps >= needed);
  const series = all.slice(-steps);
  const key = JSON.stringify([series, $("timeline").clientWidth]);
  if (key === drawn.timeline) return;
  drawn.timeline = key;
  drawTimeline($("timeline"), series, [`${length} ago`, half, "now"]);
}

/** The table's columns: heading, cell text, classes. */
function columns(now) {
  const has = (name) => now.attributes.includes(name);
  return [
    ["Person", (row) => `#${row.id}`, ""],
    now.cameras.length > 1 && ["Camera", (row) => row.camera, "optional"],
    has("age") && ["Age", (row) => (row.age_years === undefined ? "–" : `${Math.round(row.age_years)} ± ${Math.max(1, Math.round(row.age_uncertainty_years))}`), ""],
    has("gender") && ["Gender", (row) => row.gender ?? "–", ""],
    has("ethnicity") && ["Ethnicity", (row) => row.ethnicity ?? "–", "optional"],
    ["First seen", (row) => clock(row.first_s), "number"],
    ["Last seen", (row) => (row.here ? "now" : clock(row.last_s)), "number"],
    ["Samples", (row) => row.samples, "number"],
  ].filter(Boolean);
}

function showPeople(now) {
  const key = JSON.stringify([now.people.map((row) => (row.here ? { ...row, last_s: 0 } : row)), now.cameras.length]);
  if (key === drawn.people) return;
  drawn.people = key;
  const shown = columns(now);
  $("columns").replaceChildren(...shown.map(([name, , kind]) => make("th", { textContent: name, className: kind, scope: "col" })));
  $("rows").replaceChildren(...now.people.map((row) => {
    const cells = shown.map(([, text, kind]) => make("td", { textContent: text(row), className: kind }));
    const dot = make("span", { className: "dot", title: row.here ? "in view" : "gone" });
    cells[0].prepend(dot);
    return make("tr", { className: row.here ? "here" : "gone" }, ...cells);
  }));
}

function showState(now) {
  const live = now.cameras.filter((camera) => camera.state === "live").length;
  const worst = now.cameras.find((camera) => camera.state !== "live");
  let word = worst?.state ?? (now.cameras.length ? "live" : "connecting");
  if (!worst && now.problem && now.cameras.length) word = "stalled";
  $("state").dataset.state = word;
  put($("state"), worst && now.cameras.length > 1 ? `${live} of ${now.cameras.length} live` : word);
  put($("title"), now.title);
  document.title = `${now.title} · ${word}`;
  const load = now.cameras.map((camera) => camera.load).find(Boolean);
  const running = `running for ${duration(now.now_s - now.began_s)}`;
  const small = now.anonymous ? " · totals only, updated once a minute, fewer than 5 people are not shown" : "";
  put($("note"), now.problem || `${running}${load ? ` · ${load}` : ""}${small}`);
  $("note").classList.toggle("bad", Boolean(now.problem));
}

function show(now) {
  showState(now);
  document.querySelector("main").classList.toggle("anonymous", now.anonymous);
  document.querySelector(".view").hidden = $("people").hidden = now.anonymous;
  $("modes").hidden = !now.webrtc;
  if (!now.anonymous) showCameras(now.cameras);
  showTiles(now);
  showGroups(now);
  showTimeline(now);
  if (!now.anonymous) showPeople(now);
}

async function ask() {
  try {
    const answer = await fetch("state.json", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    const began_s = state?.began_s;
    state = await answer.json();
    show(state);
    if (began_s !== undefined && began_s !== state.began_s) restart(); // another run
  } catch {
    $("state").dataset.state = "offline";
    put($("state"), "no connection");
    put($("note"), "The program does not answer; trying again.");
    $("note").classList.add("bad");
  }
  setTimeout(ask, EVERY_MS);
}

if (location.search) history.replaceState(null, "", location.pathname); // the token is in the cookie now
document.addEventListener("visibilitychange", restart);
addEventListener("resize", () => state && show(state));
for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", () => choose(input.value));
$("spans").addEventListener("change", () => state && showTimeline(state));
state = JSON.parse($("first").textContent); // so that nothing moves when the answers come
if (state) show(state);
ask();
stillsInTurn();
