"use strict";
// The page of `zg watch`: asks for the runs every two seconds, and draws what has changed. All text of runs is set as
// text, never as HTML.

const PERIOD = 2000; // milliseconds between two questions
const CHARTS = 12, CARDS = 24; // most charts; most pictures at once
const WIDTH = 640, HEIGHT = 360, LEFT = 66, RIGHT = 14, TOP = 12, BOTTOM = 40; // of a chart, in its own units
// The palette of Okabe and Ito without its yellow; from the eighth on, hues by the golden angle.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a85"];
const byId = (name) => document.getElementById(name);
const controls = byId("controls").elements;
const FIRST = { task: "", method: "", state: "", text: "", column: "loss", lowest: "1", axis: "renders", log: "1", run: "" };

// What is shown stands in the address behind #, so that it survives a new load.
const view = { ...FIRST, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
let runs = [], known = "", clock = 0, details = { id: "", seen: "" };
let back = { id: "", stem: "" }; // the earlier frame that somebody looks at

function make(name, settings = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "circle"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(settings)) {
    if (key === "colour") node.style.color = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function digits(value) {
  if (typeof value !== "number") return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
  return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function age(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}

function visible() {
  const has = (run) => run.name.toLowerCase().includes(view.text.toLowerCase());
  const fits = (run, key) => !view[key] || run[key] === view[key];
  return runs.filter((run) => ["task", "method", "state"].every((key) => fits(run, key)) && has(run));
}

// A colour for each method of the folder; for each run, where only one method of its task is shown.
function colouring(shown) {
  const methods = [...new Set(runs.map((run) => run.method))].sort(), places = new Map(), found = new Map();
  for (const task of new Set(shown.map((run) => run.task))) {
    const own = shown.filter((run) => run.task === task), single = new Set(own.map((run) => run.method)).size < 2;
    own.forEach((run, place) => {
      places.set(run, single && own.length > 1 ? place : methods.indexOf(run.method));
      found.set(run, single && own.length > 1 ? run.name : run.method);
    });
  }
  const colour = (run) => COLOURS[places.get(run)] ?? `hsl(${(places.get(run) * 137.5) % 360} 60% 50%)`;
  return { colour, label: (run) => found.get(run) };
}

// Of a loss or an error the lowest so far may be wanted; of a psnr it would tell nothing.
const canBeLowest = () => /loss|error/.test(view.column);
const isLowest = () => view.lowest && canBeLowest();

function curve(run) {
  const x = view.axis === "seconds" ? 1 : 0;
  let lowest = Infinity;
  return run.points.map((point) => {
    lowest = Math.min(lowest, point[2]);
    return [point[x], isLowest() ? lowest : point[2]];
  });
}

// From values to places between two ends. Logarithmic where wanted and possible; zero stands at the lower end, as 0.
function scale(values, from, to, wanted) {
  const positive = values.filter((value) => value > 0), isLog = wanted && positive.length && Math.min(...values) >= 0;
  if (!isLog) {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = [low - 1, high + 1];
    const step = 10 ** Math.floor(Math.log10((high - low) / 2)), by = (high - low) / step > 6 ? 5 * step : step;
    const ticks = [];
    for (let tick = Math.ceil(low / by) * by; tick <= high; tick += by) ticks.push(tick);
    return { place: (value) => from + ((value - low) / (high - low)) * (to - from), ticks };
  }
  const zero = Math.min(...values) === 0;
  let [low, high] = [Math.log10(Math.min(...positive)), Math.log10(Math.max(...positive))];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const start = zero ? from + 0.06 * (to - from) : from;
  const place = (value) => (value > 0 ? start + ((Math.log10(value) - low) / (high - low)) * (to - start) : from);
  const every = Math.max(1, Math.ceil((high - low) / 7)), within = (list) => list.filter((t) => t >= low && t <= high);
  let powers = [];
  for (let power = Math.ceil(low / every) * every; power <= high; power += every) powers.push(power);
  if (powers.length < 3) {
    const decades = [...Array(Math.ceil(high) - Math.floor(low) + 1).keys()].map((k) => k + Math.floor(low));
    powers = within(decades.flatMap((k) => [1, 2, 5].map((m) => k + Math.log10(m))));
  }
  if (powers.length < 2) powers = [low, high];
  return { place, ticks: [...(zero ? [0] : []), ...powers.map((power) => Number((10 ** power).toPrecision(9)))] };
}

function chart(task, shown, colours) {
  const drawn = shown.map((run) => [run, curve(run)]).filter(([, points]) => points.length);
  const card = make("div", { class: "card" }, make("h2", {}, task));
  if (!drawn.length) {
    card.append(make("p", {}, `no ${view.column} yet`));
    return card;
  }
  const all = drawn.flatMap(([, points]) => points);
  const across = scale(all.map(([x]) => x), LEFT, WIDTH - RIGHT, view.log);
  const up = scale(all.map(([, y]) => y), HEIGHT - BOTTOM, TOP, view.log);
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  for (const tick of across.ticks) {
    const x = across.place(tick);
    svg.append(make("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    svg.append(make("text", { x, y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, digits(tick)));
  }
  for (const tick of up.ticks) {
    const y = up.place(tick);
    svg.append(make("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }));
    svg.append(make("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, digits(tick)));
  }
  const what = view.axis === "seconds" ? "seconds of rendering and method" : "renders";
  svg.append(make("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, what));
  for (const [run, points] of drawn) {
    const placed = points.map(([x, y]) => [across.place(x), up.place(y)]), [x, y] = placed.at(-1);
    const group = make("g", { class: `run${run.id === view.run ? " chosen" : ""}`, onclick: () => choose(run.id) });
    group.style.color = colours.colour(run);
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `${run.name}: ${run.column} ${digits(points.at(-1)[1])}, ${told(run)}`;
    const lost = ["killed", "failed"].includes(run.state), cross = `M${x - 4} ${y - 4}l8 8m0 -8l-8 8`;
    const dot = `end${run.state === "running" ? " going" : ""}`;
    const end = lost ? make("path", { class: "end", d: cross }) : make("circle", { class: dot, cx: x, cy: y, r: 3.5 });
    const path = placed.map((point) => point.map((part) => part.toFixed(1)).join(" ")).join("L");
    group.append(title, make("path", { class: "curve", d: `M${path}` }), end);
    svg.append(group);
  }
  const keys = new Map(drawn.map(([run]) => [colours.label(run), run]));
  const entries = [...keys.values()].map((run) =>
    make("span", {}, make("span", { class: "swatch", colour: colours.colour(run) }), colours.label(run)));
  const name = `${view.column}${isLowest() ? ", lowest so far" : ""}`;
  card.append(make("p", {}, name), svg, make("div", { class: "key" }, ...entries));
  return card;
}

const told = (run) => (run.reason && run.reason !== run.state ? `${run.state}: ${run.reason}` : run.state);

// {key: values} of settings that differ between the runs of one method.
function differing(shown) {
  const found = new Map();
  for (const run of shown) {
    for (const [key, value] of Object.entries(run.settings)) {
      const name = `${run.task}\n${run.method}\n${key}`;
      found.set(name, (found.get(name) ?? new Set()).add(value));
    }
  }
  return (run) => Object.entries(run.settings)
    .filter(([key]) => key !== "seed" && found.get(`${run.task}\n${run.method}\n${key}`).size > 1)
    .map(([key, value]) => `${key.replace(".init_args", "")} ${value}`).join(", ");
}

function table(shown, colours) {
  const different = differing(shown);
  return shown.map((run) => {
    const swatch = make("span", { class: "swatch", colour: colours.colour(run) });
    const open = make("button", { id: `open-${run.id}`, type: "button", onclick: () => choose(run.id) }, run.name);
    const number = (text) => make("td", { class: "number" }, text);
    const spent = run.max_renders ? `${digits(run.renders)} of ${digits(run.max_renders)}` : digits(run.renders);
    return make("tr", { class: run.id === view.run ? "chosen" : "" },
      make("td", {}, swatch, open), make("td", {}, run.task), make("td", {}, run.method), number(String(run.seed)),
      make("td", { class: run.state }, told(run)), number(spent), number(digits(run.loss)), number(digits(run.lowest)),
      number(digits(Number(run.seconds.toFixed(1)))), make("td", {}, run.changed ? age(clock - run.changed) : ""),
      make("td", { class: "wrap" }, different(run)));
  });
}

// The newest picture of a run: a frame of the run that goes on, else the panel of its result.
function newest(run) {
  const frame = Object.keys(run.pictures).find((name) => name.startsWith("frames/"));
  const over = !["running", "killed"].includes(run.state);
  return (over && run.pictures["panel.png"] ? "panel.png" : frame) ?? ["panel.png", "render.png"].find((n) => run.pictures[n]);
}

const address = (run, name) => `runs/${run.id}/${name}?version=${run.pictures[name] ?? ""}`;

function figure(run, name, caption) {
  return make("figure", {}, make("img", { src: address(run, name), alt: caption }), make("figcaption", {}, caption));
}

// Put a new child in the place of the former only where it differs: pictures do not flicker, and a slider stays.
function settle(parent, children) {
  children.forEach((child, place) => {
    const former = parent.children[place];
    if (!former) parent.append(child);
    else if (!former.isEqualNode(child)) former.replaceWith(child);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

function cards(shown) {
  const pictured = shown.filter((run) => newest(run) && run.id !== view.run);
  const going = (run) => run.state === "running"; // first, for there may be more than are shown
  return [...pictured.filter(going), ...pictured.filter((run) => !going(run))].slice(0, CARDS).map((run) => {
    const name = newest(run), renders = digits(parseInt(name.slice(7), 10));
    const at = name.startsWith("frames/") ? `after ${renders} renders` : "result";
    const open = make("button", { type: "button" }, run.name);
    const card = make("div", { class: "card", "data-run": run.id }, make("h2", {}, open));
    card.append(figure(run, name, `${run.task} by ${run.method}, seed ${run.seed}, ${at}: ${told(run)}`));
    return card;
  });
}

function detail(run) {
  if (!run) return [];
  const left = make("div"), right = make("div"), name = newest(run);
  if (name) left.append(figure(run, name, name.startsWith("frames/") ? "newest frame" : "result"));
  else left.append(make("p", {}, "no picture yet"));
  if (run.frames.length > 1) {
    const last = run.frames.length - 1, caption = left.querySelector("figcaption");
    const place = back.id === run.id ? run.frames.indexOf(back.stem) : -1, value = place < 0 ? last : place;
    const slider = make("input", { type: "range", min: 0, max: last, value, "aria-label": "frame of the run" });
    const turn = () => {
      const stem = run.frames[slider.value];
      left.querySelector("img").src = `runs/${run.id}/frames/${stem}.png`;
      caption.textContent = `after ${digits(parseInt(stem, 10))} renders`;
      back = Number(slider.value) === last ? { id: "", stem: "" } : { id: run.id, stem };
    };
    slider.addEventListener("input", turn);
    if (place >= 0) turn();
    left.append(slider, make("p", {}, "move to look back"));
  }
  if (run.pictures["footprints.png"]) {
    left.append(figure(run, "footprints.png", "the surrogate: which parameter moves which pixel, a colour a parameter"));
  }
  right.append(make("p", { class: run.state }, told(run)));
  if (run.error) right.append(make("p", { class: "bad" }, run.error));
  if (details.id === run.id) {
    const numbers = Object.entries(details.numbers).map(([key, value]) => `${key} ${digits(value)}`).join("   ");
    right.append(make("pre", {}, numbers), make("h2", {}, "config.yaml"), make("pre", {}, details.config));
    if (details.error) right.append(make("h2", {}, "error.txt"), make("pre", {}, details.error));
  }
  const close = make("button", { type: "button", onclick: () => choose("") }, "close");
  return [make("div", { class: "card" }, make("h2", {}, run.name, " — ", close), make("div", { class: "both" }, left, right))];
}

function choices(name, values, all) {
  const select = controls[name], wanted = [...(all ? [""] : []), ...values];
  if (view[name] && !wanted.includes(view[name])) wanted.push(view[name]);
  const options = wanted.map((value) => make("option", { value }, value || `all ${values.length}`));
  settle(select, options);
  select.value = view[name];
}

function draw() {
  controls.lowest.disabled = !canBeLowest();
  const shown = visible(), colours = colouring(shown), focused = document.activeElement?.id;
  const different = (key) => [...new Set(runs.map((run) => run[key]))].sort();
  for (const key of ["task", "method", "state"]) choices(key, different(key), true);
  choices("column", [...new Set(["loss", ...runs.flatMap((run) => run.columns)])], false);
  const tasks = [...new Set(shown.map((run) => run.task))].slice(0, CHARTS);
  byId("charts").replaceChildren(...tasks.map((task) => chart(task, shown.filter((run) => run.task === task), colours)));
  byId("table").replaceChildren(...table(shown, colours));
  settle(byId("pictures"), cards(shown));
  if (focused) byId(focused)?.focus();
  const states = different("state").map((state) => `${runs.filter((run) => run.state === state).length} ${state}`);
  document.title = `${runs.length} runs: ${states.join(", ")}`;
  const hidden = runs.length - shown.length;
  say(runs.length ? `${states.join(", ")}${hidden ? `; ${hidden} hidden by the filter` : ""}` : "no runs yet");
}

function drawDetail() {
  const run = runs.find((each) => each.id === view.run);
  byId("detail").hidden = !run;
  byId("detail").replaceChildren(...detail(run));
}

function say(text, bad = false) {
  byId("said").textContent = text;
  byId("said").className = bad ? "bad" : "";
}

function keep() {
  const changed = Object.entries(view).filter(([key, value]) => value !== FIRST[key]);
  history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
}

async function choose(id) {
  view.run = id;
  keep();
  draw();
  await look();
}

// The details of the chosen run, asked again when its row or its pictures have changed.
async function look() {
  const run = runs.find((each) => each.id === view.run), seen = JSON.stringify([run]);
  if (seen === details.seen) return;
  let found = {};
  if (run) found = await (await fetch(`runs/${run.id}/details.json`)).json();
  details = { config: "", numbers: {}, error: "", ...found, id: run?.id ?? "", seen };
  drawDetail();
}

async function ask() {
  try {
    const answer = await fetch(`runs.json?column=${encodeURIComponent(view.column)}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    clock = Date.parse(answer.headers.get("Date")) / 1000;
    if (text !== known) {
      known = text;
      const content = JSON.parse(text);
      runs = content.runs.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
      byId("folder").textContent = content.folder;
    }
    draw();
    await look();
  } catch (error) {
    say(`zg watch does not answer, what is below is its last answer (${error.message})`, true);
  }
}

async function go() {
  if (!document.hidden) await ask(); // a tab behind others costs the runs nothing
  setTimeout(go, PERIOD);
}

for (const control of controls) {
  if (control.type === "checkbox") control.checked = Boolean(view[control.name]);
  else control.value = view[control.name];
  control.addEventListener("input", () => {
    view[control.name] = control.type === "checkbox" ? (control.checked ? "1" : "") : control.value;
    keep();
    if (control.name === "column") ask();
    else draw();
  });
}
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("pictures").addEventListener("click", (event) => {
  const card = event.target.closest("button") && event.target.closest("[data-run]");
  if (card) choose(card.dataset.run);
});
go();
