// Two plots as SVG: bars by age band, stacked by gender, and people over time.

import { say } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 26, BOTTOM = 20, TOP = 14;

function element(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return made;
}

/** A round number of at least `largest` and three, with the distance of its grid lines. */
function scale(largest) {
  const rough = Math.max(largest, 3) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  return { step, top: step * Math.ceil(Math.max(largest, 3) / step) };
}

/** "20-29" in short: "20s". */
const decade = (band) => (band === "0-9" ? say("younger_than_10") : band.includes("-") ? say("decade", { n: band.replace(/-.*/, "") }) : band);

/** Begin a plot that fills `box`: its SVG with grid lines, and the height of a number. */
function begin(box, largest, label) {
  const width = Math.max(box.clientWidth, 120), height = Math.max(box.clientHeight, 80);
  const { step, top } = scale(largest);
  const y = (number) => height - BOTTOM - (number / top) * (height - BOTTOM - TOP);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (let number = 0; number <= top; number += step) {
    svg.append(element("line", { class: "grid", x1: LEFT, x2: width, y1: y(number), y2: y(number) }));
    svg.append(element("text", { x: LEFT - 6, y: y(number) + 4, "text-anchor": "end" }, number));
  }
  return { svg, width, height, y };
}

/**
 * Draw people by age band, stacked by gender.
 * @param {HTMLElement} box is filled.
 * @param {{gender: string, band: string, people: ?number}[]} groups null = a group too small.
 */
export function drawGroups(box, bands, genders, groups) {
  const of = (band) => groups.filter((group) => group.band === band);
  const sum = (band) => of(band).reduce((total, group) => total + (group.people ?? 0), 0);
  const told = bands.filter((band) => sum(band)).map((band) => `${band || say("all")}: ${sum(band)}`);
  const label = told.length ? say("people_by_age", { list: told.join(", ") }) : say("no_ages");
  const { svg, width, height, y } = begin(box, Math.max(...bands.map(sum)), label);
  const pitch = (width - LEFT) / bands.length;
  bands.forEach((band, place) => {
    const x = LEFT + place * pitch + pitch * 0.14;
    let below = 0;
    for (const gender of genders) {
      const people = of(band).find((group) => group.gender === gender)?.people ?? 0;
      if (!people) continue;
      const bar = element("rect", {
        class: gender || "all", x, width: pitch * 0.72,
        y: y(below + people), height: y(below) - y(below + people), rx: 2,
        "data-band": band, "data-gender": gender, "data-people": people,
      });
      bar.append(element("title", {}, `${band} ${say(gender)}: ${people}`));
      svg.append(bar);
      below += people;
    }
    const middle = x + pitch * 0.36;
    if (below) svg.append(element("text", { class: "value", x: middle, y: y(below) - 4 }, below));
    svg.append(element("text", { x: middle, y: height - 5, "text-anchor": "middle" }, decade(band)));
  });
  box.replaceChildren(svg);
}

/**
 * Draw how many people were in view, a flat piece for each step; gaps where that is unknown.
 * @param {?number[]} series oldest first, the last one is now.
 * @param {string[]} ends what to write below its first, middle and last step.
 */
export function drawTimeline(box, series, ends) {
  const known = series.filter((number) => number !== null);
  const now = known.length ? known[known.length - 1] : say("unknown");
  const largest = Math.max(0, ...known);
  const { svg, width, height, y } = begin(box, largest, say("people_in_view", { now, most: largest }));
  const x = (place) => LEFT + 2 + (place / series.length) * (width - LEFT - 4);
  for (let start = 0; start < series.length; start++) {
    if (series[start] === null) continue;
    let end = start;
    while (end + 1 < series.length && series[end + 1] !== null) end++;
    const points = [];
    for (let place = start; place <= end; place++) points.push(`${x(place)},${y(series[place])}`, `${x(place + 1)},${y(series[place])}`);
    svg.append(element("polygon", { class: "area", points: `${x(start)},${y(0)} ${points.join(" ")} ${x(end + 1)},${y(0)}` }));
    svg.append(element("polyline", { class: "edge", points: points.join(" ") }));
    start = end;
  }
  ends.forEach((text, place) => {
    const anchor = ["start", "middle", "end"][place];
    const at = [LEFT, (LEFT + width) / 2, width][place];
    svg.append(element("text", { x: at, y: height - 5, "text-anchor": anchor }, text));
  });
  box.replaceChildren(svg);
}
