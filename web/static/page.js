// The page: asks for /state.json twice a second, and shows it beside the live pictures.

import { make, Pictures, put } from "./pictures.js";
import { drawGroups, drawTimeline } from "./plots.js";
import { say } from "./texts.js";
import { counts, Zones } from "./zones.js";

const EVERY_MS = 500;
const PATIENCE_MS = 5000;
// Seconds a step, and how many to show: the fewest that hold all that is known.
const SPANS = { recent: [5, [12, 24, 60, 120]], day: [900, [4, 8, 16, 32, 96]] };
const $ = (id) => document.getElementById(id);
const pictures = new Pictures($("cameras"));
const zones = new Zones(pictures, change);
let state = null, drawn = {};

const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });
const lower = (number) => number ?? say("fewer_than_5");

function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(Math.floor(seconds) % 60)}`;
}

/** "30 s", "2½ min", "12 h". */
function span(seconds) {
  const [number, unit] = seconds < 60 ? [seconds, "seconds"] : seconds < 3600 ? [seconds / 60, "minutes"] : [seconds / 3600, "hours"];
  return say(unit, { n: `${Math.floor(number) || ""}${number % 1 === 0.5 ? "½" : ""}` });
}

function caption(camera) {
  if (state.cameras.length < 2) return [camera.time_s === null ? "" : duration(camera.time_s), camera.load].filter(Boolean).join(" · ");
  const people = camera.people_now === null && camera.state !== "live" ? say("unknown") : say("n_people", { n: lower(camera.people_now) });
  return [people, say("fps", { n: camera.fps }), camera.load].filter(Boolean).join(" · ");
}

// The figures

function showTiles(now) {
  const cameras = now.cameras, live = cameras.filter((camera) => camera.state === "live");
  const ages = live.map((camera) => camera.frame_age_ms).filter((age) => age !== null);
  const sum = (key) => cameras.reduce((total, camera) => total + camera[key], 0);
  put($("now"), now.people_now_known ? lower(now.people_now) : say("unknown"));
  const limit = now.settings.warn_from;
  $("now-tile").classList.toggle("warn", limit !== null && now.people_now >= limit);
  put($("today"), lower(now.people_today));
  put($("fps"), live.length ? live.reduce((total, camera) => total + camera.fps, 0).toFixed(1) : say("unknown"));
  put($("age"), ages.length ? `${Math.max(...ages)} ms` : say("unknown"));
  put($("dropped"), sum("dropped"));
  put($("reconnects"), sum("reconnects"));
}

/** Who of those that left looked this way. */
function showAttention(now) {
  const seen = now.attention;
  $("attention-tile").hidden = !seen;
  if (!seen) return;
  const [percent, low, high] = [seen.ratio, seen.low, seen.high].map((share) => Math.round(100 * share));
  const words = [say(seen.ratio === null ? "looked_rounded" : "looked", { ...seen, percent, low, high })];
  if (seen.attention_s !== null) words.push(say("each_for", { n: seen.attention_s.toFixed(1) }));
  put($("attention"), seen.people ? words.join(" · ") : now.anonymous ? lower(null) : say("unknown"));
}

function showGroups(now) {
  const key = JSON.stringify([now.groups, now.corrected, $("groups").clientWidth]);
  if (key === drawn.groups) return;
  drawn.groups = key;
  $("legend").replaceChildren(...now.genders.map((gender) => {
    const numbers = now.groups.filter((group) => group.gender === gender).map((group) => group.people);
    const total = numbers.reduce((all, number) => all + (number ?? 0), 0);
    const item = make("li", {}, make("i", { className: gender }), `${say(gender || "everybody")} `);
    item.append(make("b", { textContent: now.anonymous && !total ? say("fewer_than_5") : total }));
    const count = (now.corrected ?? []).find((one) => one.gender === gender && one.age === undefined);
    if (count) {
      const { people, low, high } = count, title = say("corrected", { low, high });
      item.append(make("span", { textContent: ` (${people} ± ${Math.max(people - low, high - people)})`, title }));
    }
    return item;
  }));
  drawGroups($("groups"), now.bands, now.genders, now.groups);
}

/** Say how far off ages are likely to be at each camera, where enough people were seen. */
function showErrors(now) {
  const known = now.cameras.filter((camera) => camera.age_error_years !== null);
  const words = ({ name, age_error_years: years }) => (
    now.cameras.length < 2 ? say("age_error", { years }) : say("age_error_of", { camera: name, years }));
  put($("errors"), known.map(words).join(" · "));
}

function showTimeline(now) {
  const chosen = document.querySelector("input[name=span]:checked").value;
  const all = now.timelines[chosen], first = all.findIndex((number) => number !== null);
  const needed = first < 0 ? 0 : all.length - first;
  const [step_s, lengths] = SPANS[chosen];
  const steps = lengths.find((length) => length >= needed);
  const series = all.slice(-steps);
  const key = JSON.stringify([series, $("timeline").clientWidth]);
  if (key === drawn.timeline) return;
  drawn.timeline = key;
  const ago = (seconds) => say("ago", { length: span(seconds) });
  drawTimeline($("timeline"), series, [ago(steps * step_s), span((steps * step_s) / 2), say("now")]);
}

/** Fill the table of hours and days, the newest first. */
function showFlow(now) {
  const key = JSON.stringify([now.hours, now.days]);
  if (key === drawn.flow) return;
  drawn.flow = key;
  const cells = (row) => [
    row.begins.slice(0, 16).replace("T", " "), row.entered, row.left,
    row.dwell_s === null ? say("unknown") : say("seconds", { n: row.dwell_s.toFixed(1) }),
  ];
  $("flow").replaceChildren(...[...now.days, ...now.hours].reverse().map((row) => make("tr", {},
    ...cells(row).map((text, place) => make("td", { textContent: text, className: place ? "number" : "" })))));
}

/** The table's columns: heading, cell text, classes. */
function columns(now) {
  const has = (name) => now.attributes.includes(name);
  const unknown = say("unknown");
  return [
    [say("person"), (row) => `#${row.id}`, "who"],
    now.cameras.length > 1 && [say("camera"), (row) => row.camera, "optional"],
    has("age") && [say("age"), (row) => (row.age_years === undefined ? unknown : `${Math.round(row.age_years)} ± ${Math.max(1, Math.round(row.age_uncertainty_years))}`), ""],
    has("gender") && [say("gender"), (row) => (row.gender ? say(row.gender) : unknown), ""],
    has("ethnicity") && [say("ethnicity"), (row) => row.ethnicity ?? unknown, "optional"],
    [say("first_seen"), (row) => clock(row.first_s), "number"],
    [say("last_seen"), (row) => (row.here ? say("now") : clock(row.last_s)), "number"],
    now.attention && [say("looked_for"), (row) => (row.attention_s === undefined ? unknown : say("seconds", { n: row.attention_s.toFixed(1) })), "number optional"],
    [say("samples"), (row) => row.samples, "number optional"],
  ].filter(Boolean);
}

/** The person's picture, another one whenever the person has been seen better. */
function face(row) {
  if (!row.face) return make("span", { className: "thumb" });
  const src = `face.jpg?camera=${encodeURIComponent(row.camera)}&id=${row.id}&turn=${row.face}`;
  return make("img", { className: "thumb", alt: "", loading: "lazy", width: 28, height: 28, src });
}

function showPeople(now) {
  const key = JSON.stringify([now.people.map((row) => (row.here ? { ...row, last_s: 0 } : row)), now.cameras.length]);
  if (key === drawn.people) return;
  drawn.people = key;
  const shown = columns(now);
  $("columns").replaceChildren(...shown.map(([name, , kind]) => make("th", { textContent: name, className: kind, scope: "col" })));
  $("rows").replaceChildren(...now.people.map((row) => {
    const cells = shown.map(([, text, kind]) => make("td", { textContent: text(row), className: kind }));
    const dot = make("span", { className: "dot", title: say(row.here ? "in_view" : "gone") });
    cells[0].prepend(dot, ...(now.settings.hides ? [] : [face(row)]));
    return make("tr", { className: row.here ? "here" : "gone" }, ...cells);
  }));
}

/** "female 20-39: 3 in · 1 out" for each group of a line or zone. */
function groupsOf(camera, shape) {
  const found = (shape.kind === "line" ? camera.lines : camera.zones)?.[shape.name]?.groups ?? [];
  const who = (group) => [say(group.gender ?? "everybody"), group.age].filter(Boolean).join(" ");
  return found.map((group) => `${who(group)}: ${say(shape.kind === "line" ? "line_counts" : "zone_counts", group)}`);
}

function showPlaces(now) {
  const shapes = now.cameras.flatMap((camera) => camera.shapes.map((shape) => [camera, shape]));
  $("places").hidden = !shapes.length;
  const key = JSON.stringify([shapes.map(([camera, shape]) => [camera.name, shape, camera.lines, camera.zones]), now.settings.draws]);
  if (key === drawn.places) return;
  drawn.places = key;
  const opened = new Set([...$("shapes").querySelectorAll("details[open]")].map((one) => one.dataset.key));
  $("shapes").replaceChildren(...shapes.map(([camera, shape]) => {
    const stay = camera.zones?.[shape.name]?.dwell_s, mean = stay == null ? "" : ` · ⌀ ${say("seconds", { n: stay.toFixed(0) })}`;
    const name = now.cameras.length > 1 ? `${camera.name}: ${shape.name}` : shape.name;
    const groups = groupsOf(camera, shape), place = JSON.stringify([camera.name, shape.name]);
    const told = make("summary", {}, make("b", { textContent: name }), ` ${counts(camera, shape, now.anonymous)}${mean}`);
    const list = make("ul", {}, ...groups.map((textContent) => make("li", { textContent })));
    const details = make("details", { open: opened.has(place) }, told, list);
    details.dataset.key = place;
    const erase = make("button", { type: "button", textContent: "×", title: say("erase") });
    erase.setAttribute("aria-label", say("erase_shape", { name }));
    erase.onclick = () => confirm(say("erase_sure", { name })) && change({ erase: { camera: camera.name, name: shape.name } });
    return make("li", {}, details, ...(now.settings.draws ? [erase] : []));
  }));
}

function showState(now) {
  const is = (word) => (camera) => camera.state === word;
  const live = now.cameras.filter(is("live")).length;
  const over = now.cameras.length && now.cameras.every(is("ended"));
  const worst = now.cameras.find((camera) => camera.state !== "live" && camera.state !== "ended");
  let word = worst?.state ?? (over ? "ended" : now.cameras.length ? "live" : "connecting");
  if (word === "live" && now.problem) word = "stalled";
  $("state").dataset.state = word;
  const partly = live < now.cameras.length && !over && now.cameras.length > 1;
  put($("state"), partly ? say("n_of_m_live", { n: live, m: now.cameras.length }) : say(`state_${word}`));
  put($("title"), now.title);
  document.title = `${now.title} · ${say(`state_${word}`)}`;
  const load = now.cameras.map((camera) => camera.load).find(Boolean);
  const running = say(over ? "ran" : "running", { time: duration(now.now_s - now.began_s) });
  const summary = over && now.cameras.length === 1 ? now.cameras[0].detail : "";
  const words = [running, summary, load, now.anonymous ? say("anonymous_note") : ""].filter(Boolean);
  const bad = now.problem && !over;
  put($("note"), bad ? now.problem : words.join(" · ") || now.problem);
  $("note").classList.toggle("bad", Boolean(bad));
}

function showSettings(now) {
  const { hides, fixed, warn_from } = now.settings;
  $("labels-choice").hidden = now.anonymous || pictures.mode !== "jpeg";
  $("modes").hidden = !now.webrtc;
  $("hide-label").hidden = now.anonymous || (fixed && !hides);
  $("hide").disabled = fixed;
  $("hide").checked = hides;
  put($("hide-text"), say(fixed ? "hide_faces_fixed" : "hide_faces"));
  if (document.activeElement !== $("warn")) $("warn").value = warn_from ?? "";
}

async function change(wish) {
  const answer = await fetch("settings", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) });
  put($("refused"), answer.ok ? "" : say("refused"));
  if (!answer.ok) return (await answer.text()).trim();
  show(state = await answer.json());
  return "";
}

function show(now) {
  showState(now);
  showSettings(now);
  document.querySelector("main").classList.toggle("anonymous", now.anonymous);
  document.querySelector(".view").hidden = $("people").hidden = now.anonymous;
  if (!now.anonymous) {
    pictures.show(now.cameras, caption);
    zones.show(now.cameras, now.settings.draws);
  }
  showPlaces(now);
  showTiles(now);
  showAttention(now);
  showGroups(now);
  showErrors(now);
  showTimeline(now);
  showFlow(now);
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
    if (began_s !== undefined && began_s !== state.began_s) pictures.restart(); // another run
  } catch {
    $("state").dataset.state = "offline";
    put($("state"), say("no_connection"));
    put($("note"), say("no_answer"));
    $("note").classList.add("bad");
  }
  setTimeout(ask, EVERY_MS);
}

if (location.search) history.replaceState(null, "", location.pathname); // the token is in the cookie now
document.addEventListener("visibilitychange", () => pictures.restart());
addEventListener("resize", () => {
  if (!state) return;
  show(state);
  pictures.relabel(pictures.labels);
});
pictures.onMode = (mode) => {
  for (const input of document.querySelectorAll("input[name=mode]")) input.checked = input.value === mode;
};
for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", () => pictures.choose(input.value));
for (const input of document.querySelectorAll("input[name=labels]")) {
  input.checked = input.value === (localStorage.labels ?? "auto");
  input.addEventListener("change", () => pictures.relabel(localStorage.labels = input.value));
}
pictures.labels = localStorage.labels ?? "auto";
$("spans").addEventListener("change", () => state && showTimeline(state));
$("hide").addEventListener("change", () => change({ hide: $("hide").checked }));
$("warn").addEventListener("change", () => change({ warn_from: Number($("warn").value) || null }));
$("reset").addEventListener("click", () => confirm(say("reset_sure")) && change({ reset: true }));
state = JSON.parse($("first").textContent); // so that nothing moves when the answers come
if (state) show(state);
ask();
