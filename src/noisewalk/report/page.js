"use strict";
document.documentElement.classList.add("js");

const MAPS = {
  mean: ["Mean", "picture", "The average of all draws: the best single estimate."],
  draw: ["Draws", "picture", "Each is an image that explains the measurement. Play them: what moves is not known."],
  std: ["Uncertainty", "spread", "The standard deviation of the draws."],
  truth: ["Truth", "picture", "The clean image."],
  error: ["Error", "spread", "How far the mean is from the truth, in the colours of the uncertainty."],
  q05: ["5 %", "picture", "In each pixel, 5 % of the draws lie below this value."],
  q50: ["Median", "picture", "In each pixel, half of the draws lie below this value."],
  q95: ["95 %", "picture", "In each pixel, 95 % of the draws lie below this value."],
  width: ["Interval width", "own", "From the 5 % to the 95 % quantile: the length of the 90 % interval."],
  probability: ["Probability", "share", "The share of the draws above a threshold, which you choose."],
  measurement: ["Measurement", "picture", "What was measured. Hatched: not observed."],
  residual: ["Residual", "diverging", "(y \u2212 A(x)) / noise, averaged over the draws. It should look like noise."],
  rhat: ["R-hat", "own", "1 where the chains agree; bright where they do not."],
  ess: ["ESS", "own", "How many independent draws the chains are worth in each pixel."],
  predicted: [null, "picture", ""],
};
const LIMIT_Z = 3, BINS = 14;

function text(value, digits = 3) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value), short = size !== 0 && (size < 1e-4 || size >= 1e9);
  const said = short ? value.toExponential(digits - 1) : size >= 10 ** digits ? value.toFixed(0) : Number(value.toPrecision(digits)).toString();
  return said.replaceAll("-", "\u2212");
}

function element(tag, properties, parent) {
  const node = Object.assign(document.createElement(tag), properties);
  if (parent) parent.append(node);
  return node;
}

const SVG = element("div", { innerHTML: "<svg></svg>" }).firstChild.namespaceURI;

function drawing(tag, attributes, parent) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (parent) parent.append(node);
  return node;
}

/* Compressed levels back to values in the user's unit. */
async function unpack(layer, base) {
  const packed = Uint8Array.from(atob(layer.data), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const [channels, height, width] = layer.shape, count = channels * height * width, missing = 2 ** layer.bits - 1;
  if (layer.delta) for (let i = 0; i < bytes.length; i++) if (i % width) bytes[i] += bytes[i - 1];
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const level = layer.bits === 16 ? 256 * bytes[i] + bytes[count + i] : bytes[i];
    values[i] = level === missing ? NaN : layer.start + layer.step * level + (base ? base.values[i] : 0);
  }
  return { channels, height, width, values };
}

async function unpackAll(facts) {
  const mean = await unpack(facts.layers.mean), layers = { mean };
  for (const [name, layer] of Object.entries(facts.layers)) {
    if (name !== "mean") layers[name] = await unpack(layer, ["truth", "q05", "q50", "q95"].includes(name) ? mean : null);
  }
  const difference = (a, b) => ({ ...a, values: a.values.map((value, i) => value - b.values[i]) });
  if (layers.truth) layers.error = difference(mean, layers.truth);
  if (layers.q05) layers.width = difference(layers.q95, layers.q05);
  const draws = [];
  for (const layer of facts.draws) draws.push(await unpack(layer, mean));
  return { layers, draws };
}

class Report {
  constructor(article, facts, layers, draws) {
    Object.assign(this, { article, facts, layers, draws });
    [this.channels, this.height, this.width] = facts.size;
    this.size = this.height * this.width;
    this.band = this.channels === 1 || this.channels === 3 ? -1 : 0;
    this.preset = "stretch";
    this.shown = "std";
    this.draw = 0;
    this.along = "row";
    const { ends, stretch } = facts.contrast;
    this.domain = [Math.min(ends[0], ...stretch.map((s) => s[0])), Math.max(ends[1], ...stretch.map((s) => s[1]))];
    this.threshold = (this.domain[0] + this.domain[1]) / 2;
    this.tables = Object.fromEntries(Object.entries(facts.colours).map(([name, code]) => [name, Uint8Array.from(atob(code), (c) => c.charCodeAt(0))]));
    this.views = [];
    this.setEnds();
  }

  setEnds() {
    const { ends, stretch } = this.facts.contrast;
    if (this.preset !== "own") [this.low, this.high] = this.preset === "ends" ? ends : stretch[this.band + 1];
  }

  layer(name) {
    if (name.startsWith("draw")) return this.draws[name === "draw" ? this.draw : Number(name.slice(5))];
    if (name !== "probability") return this.layers[name];
    const values = new Float32Array(this.size);
    for (const draw of this.draws) for (let i = 0; i < this.size; i++) values[i] += (this.one(draw, i) > this.threshold) / this.draws.length;
    return { channels: 1, height: this.height, width: this.width, values };
  }

  /* The value of a pixel in the band that is looked at; of all together, their average. */
  one(layer, i) {
    const size = layer.height * layer.width, { values, channels } = layer;
    if (this.band >= 0) return values[Math.min(this.band, channels - 1) * size + i];
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += values[c * size + i];
    return sum / channels;
  }

  /* The value that a map shows: of all channels together the root mean square or the worst one. */
  scalar(name, layer, i) {
    if (this.band >= 0 || layer.channels === 1) {
      const value = this.one(layer, i);
      return name === "error" ? Math.abs(value) : value;
    }
    const all = [];
    for (let c = 0; c < layer.channels; c++) all.push(layer.values[c * layer.height * layer.width + i]);
    const seen = all.filter((v) => !Number.isNaN(v));
    if (!seen.length) return NaN;
    if (name === "rhat") return Math.max(...seen);
    if (name === "ess") return Math.min(...seen);
    if (name === "residual") return seen.reduce((a, b) => a + b, 0) / Math.sqrt(seen.length);
    return Math.sqrt(seen.reduce((a, b) => a + b * b, 0) / seen.length);
  }

  /* Ends of the bar, table of colours and unit of a map. */
  scale(name, values) {
    const kind = MAPS[name.split(" ")[0]][1], unit = this.facts.unit;
    if (kind === "picture") return { low: this.low, high: this.high, unit };
    if (kind === "spread") return { low: 0, high: this.facts.contrast.spread, unit, table: "magma" };
    if (kind === "diverging") return { low: -LIMIT_Z, high: LIMIT_Z, unit: "", table: "RdBu_r" };
    if (kind === "share") return { low: 0, high: 1, unit: "", table: "magma" };
    const finite = values.filter(Number.isFinite).sort(), low = name === "rhat" ? 1 : 0;
    const high = finite.length ? Math.max(finite[Math.floor(0.995 * (finite.length - 1))], low + 1e-9) : 1;
    return { low, high: name === "rhat" ? Math.max(high, 1.05) : high, unit: name === "width" ? unit : "", table: "magma" };
  }

  paint(view) {
    const layer = this.layer(view.name), size = layer.height * layer.width, name = view.name;
    const picture = MAPS[name.split(" ")[0]][1] === "picture", colour = picture && this.band < 0 && layer.channels === 3;
    const shown = new Float32Array(size * (colour ? 3 : 1));
    if (colour) shown.set(layer.values);
    else for (let i = 0; i < size; i++) shown[i] = picture ? this.one(layer, i) : this.scalar(name, layer, i);
    const { low, high, unit, table } = this.scale(name, shown), colours = this.tables[table];
    view.canvas.width = layer.width;
    view.canvas.height = layer.height;
    const context = view.canvas.getContext("2d"), image = context.createImageData(layer.width, layer.height);
    const level = (v) => Math.round(255 * Math.min(1, Math.max(0, (v - low) / (high - low))));
    let below = false, above = false;
    for (const v of shown) { below ||= v < low; above ||= v > high; }
    for (let i = 0; i < size; i++) {
      const known = colour ? [0, 1, 2].every((c) => !Number.isNaN(shown[c * size + i])) : !Number.isNaN(shown[i]);
      for (let c = 0; c < 3; c++) {
        const v = level(shown[colour ? c * size + i : i]);
        image.data[4 * i + c] = colours ? colours[3 * v + c] : v;
      }
      image.data[4 * i + 3] = known ? 255 : 0;
    }
    context.putImageData(image, 0, 0);
    const ramp = view.bar.querySelector("canvas").getContext("2d"), row = ramp.createImageData(256, 1);
    for (let v = 0; v < 256; v++) for (let c = 0; c < 4; c++) row.data[4 * v + c] = c === 3 ? 255 : colours ? colours[3 * v + c] : v;
    ramp.putImageData(row, 0, 0);
    const ends = [(below ? "\u2264 " : "") + text(low), text((low + high) / 2), `${above ? "\u2265 " : ""}${text(high)} ${unit}`.trim()];
    view.bar.querySelector("div").replaceChildren(...ends.map((textContent) => element("span", { textContent })));
    view.canvas.setAttribute("aria-label", `${view.title}: scale from ${ends[0]} to ${ends[2]}`);
  }

  repaint() { this.views.forEach((view) => this.paint(view)); }

  addView(pane, bar, name, title) {
    const fine = Math.max(this.width, this.height) >= 96 ? "fine" : "coarse";
    const canvas = element("canvas", { className: fine });
    canvas.setAttribute("role", "img");
    pane.querySelector("img")?.remove();
    pane.prepend(canvas);
    bar.replaceChildren(element("canvas", { width: 256, height: 1 }), element("div", {}));
    const view = { canvas, bar, name, title, pane, cross: element("i", { className: "cross", hidden: true }, pane) };
    this.views.push(view);
    return view;
  }
}

/* Tabs of the bands and the contrast, above the pictures. */
function tools(report) {
  const tabs = report.article.querySelector(".bands"), names = report.facts.bands.map((name, i) => [name, i]);
  if (report.channels === 3) names.unshift(["Colour", -1]);
  const buttons = names.map(([textContent, band]) => {
    const button = element("button", { type: "button", textContent }, report.channels > 1 ? tabs : null);
    button.setAttribute("role", "tab");
    button.addEventListener("click", () => choose(band));
    return [button, band];
  });
  const choose = (band) => {
    report.band = band;
    report.setEnds();
    for (const [button, its] of buttons) { button.setAttribute("aria-selected", String(its === band)); button.tabIndex = its === band ? 0 : -1; }
    update();
    report.refresh?.();
  };
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.findIndex(([, band]) => band === report.band) + step + buttons.length) % buttons.length];
    choose(next[1]);
    next[0].focus();
    event.preventDefault();
  });
  if (report.channels === 1) tabs.remove();

  const box = report.article.querySelector(".contrast"), [first, last] = report.domain;
  const presets = [...box.querySelectorAll("button")], low = box.querySelector(".low"), high = box.querySelector(".high");
  const update = () => {
    low.value = (1000 * (report.low - first)) / (last - first);
    high.value = (1000 * (report.high - first)) / (last - first);
    for (const [slider, value] of [[low, report.low], [high, report.high]]) slider.setAttribute("aria-valuetext", `${text(value)} ${report.facts.unit}`.trim());
    presets.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.ends === report.preset)));
    report.repaint();
  };
  presets.forEach((button) => button.addEventListener("click", () => { report.preset = button.dataset.ends; report.setEnds(); update(); }));
  const slide = (slider, end) => slider.addEventListener("input", () => {
    const value = first + ((last - first) * slider.value) / 1000, gap = (last - first) / 500;
    report.preset = "own";
    if (end === "low") report.low = Math.min(value, report.high - gap); else report.high = Math.max(value, report.low + gap);
    update();
  });
  slide(low, "low");
  slide(high, "high");
  choose(report.band);
}

/* One large picture of any map, and what is known of one of its pixels. */
function closer(report) {
  const section = report.article.querySelector("section.closer"), find = (selector) => section.querySelector(selector);
  const pane = find(".pane"), frame = find(".frame"), buttons = new Map();
  const side = Math.max(report.width, report.height), factor = Math.max(1, Math.floor(512 / side));
  section.style.setProperty("--w", `${factor * report.width}px`);
  pane.style.aspectRatio = `${report.width} / ${report.height}`;
  const view = report.addView(pane, find(".bar"), "std", "Uncertainty");
  const { place } = report.facts, arrow = report.article.querySelector(".pictures .north");
  if (arrow) pane.append(arrow.cloneNode(true));
  for (const axis of place ? ["x", "y"] : []) {
    for (const [at, textContent] of place[axis]) element("span", { className: `tick ${axis}`, textContent }, frame).style[axis === "x" ? "left" : "top"] = `${100 * at}%`;
    if (place[axis].length) element("span", { className: `axis ${axis}`, textContent: place.names[axis === "x" ? 0 : 1] }, frame);
  }
  frame.classList.toggle("ticked", Boolean(place && (place.x.length || place.y.length)));

  const event = find(".event"), slider = event.querySelector("input"), [first, last] = report.domain;
  const film = find(".flip"), frames = film.querySelector("input"), play = film.querySelector("button");
  const show = (name) => {
    Object.assign(view, { name, title: MAPS[name][0] });
    report.shown = name;
    buttons.forEach((button, key) => button.setAttribute("aria-pressed", String(key === name)));
    event.hidden = name !== "probability";
    film.hidden = name !== "draw";
    if (film.hidden) stop();
    find(".about").textContent = MAPS[name][2];
    event.querySelector("output").textContent = `x > ${text(report.threshold)} ${report.facts.unit}, in ${report.draws.length} of ${report.facts.numDraws} draws`;
    film.querySelector("output").textContent = `${report.draw + 1} of ${report.draws.length}`;
    report.paint(view);
  };
  slider.addEventListener("input", () => { report.threshold = first + ((last - first) * slider.value) / 1000; show("probability"); });
  slider.value = 500;
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  frames.max = report.draws.length - 1;
  const turn = () => { report.draw = Number(frames.value); show("draw"); };
  frames.addEventListener("input", () => { stop(); turn(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    timer = setInterval(() => { frames.value = (Number(frames.value) + 1) % report.draws.length; turn(); }, 350);
  });
  for (const [name, [label]] of Object.entries(MAPS)) {
    const there = name === "draw" || name === "probability" ? report.draws.length : report.layers[name];
    if (!label || !there) continue;
    const button = element("button", { type: "button", textContent: label }, find(".layers"));
    button.addEventListener("click", () => show(name));
    buttons.set(name, button);
  }
  find(".profile button").addEventListener("click", (event_) => {
    event_.target.textContent = report.along === "row" ? "Row" : "Column";
    report.along = report.along === "row" ? "column" : "row";
    report.refresh();
  });
  pane.addEventListener("keydown", (pressed) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[pressed.key];
    if (!move) return;
    pressed.preventDefault();
    const inside = (value, end) => Math.min(end - 1, Math.max(0, value));
    report.pixel = [inside(report.pixel[0] + move[0], report.height), inside(report.pixel[1] + move[1], report.width)];
    report.pinned = true;
    report.refresh();
  });
  show("std");
}

/* The same pixel marked in every picture; its values, its histogram of draws and a line through it. */
function pixels(report) {
  const { article, facts, layers, draws, width, height } = report, unit = facts.unit;
  const box = article.querySelector(".pixel"), bar = document.getElementById("readout");
  const names = report.channels === 1 ? [""] : facts.bands.map((name) => `${name} `);
  const at = (layer, row, column) => Math.floor((row * layer.height) / height) * layer.width + Math.floor((column * layer.width) / width);
  const said = (layer, row, column, other, between, digits) => names.map((label, c) => {
    const i = at(layer, row, column) + Math.min(c, layer.channels - 1) * layer.height * layer.width;
    return label + text(layer.values[i], 4) + (other ? `${between}${text(other.values[i], digits)}` : "");
  }).filter((_, c) => report.band < 0 || c === report.band).join(", ") + (unit ? ` ${unit}` : "");
  const measured = (row, column) => (Number.isNaN(report.one(layers.measurement, at(layers.measurement, row, column))) ? "not observed" : said(layers.measurement, row, column));
  const where = (row, column) => `Row ${facts.bottomUp ? height - 1 - row : row}, column ${column}`;
  const listed = (row, column) => [
    ["Mean", said(layers.mean, row, column, layers.std, " \u00b1 ", 2)],
    ...(layers.truth ? [["Truth", said(layers.truth, row, column)]] : []),
    ...(layers.measurement ? [["Measurement", measured(row, column)]] : []),
    ...(layers.q05 ? [["90 % interval", said(layers.q05, row, column, layers.q95, " to ", 4)]] : []),
  ];
  const of = report.channels > 1 ? () => (report.band < 0 ? ", average of the channels" : `, ${facts.bands[report.band]}`) : () => "";

  function chart(figure, left, right) {
    figure.querySelectorAll("svg, .xlabels").forEach((node) => node.remove());
    const svg = drawing("svg", { viewBox: "0 0 1000 1000", preserveAspectRatio: "none", role: "img" }, figure);
    const labels = element("div", { className: "xlabels" }, figure);
    [left, right].forEach((textContent) => element("span", { textContent }, labels));
    return svg;
  }
  function histogram(i) {
    const values = draws.map((draw) => report.one(draw, i)), truth = layers.truth ? report.one(layers.truth, i) : NaN;
    const known = Number.isNaN(truth) ? values : [...values, truth];
    const least = Math.min(...known), room = (Math.max(...known) - least || 1e-6) * 0.04, low = least - room, span = Math.max(...known) + room - low;
    const figure = box.querySelector(".histogram"), counts = new Array(BINS).fill(0);
    for (const v of values) counts[Math.min(BINS - 1, Math.floor((BINS * (v - low)) / span))] += 1;
    const svg = chart(figure, text(low), `${text(low + span)} ${unit}`.trim()), most = Math.max(...counts);
    counts.forEach((count, k) => drawing("rect", { x: (1000 * k) / BINS + 4, width: 1000 / BINS - 8, y: 1000 - (940 * count) / most, height: (940 * count) / most }, svg));
    if (!Number.isNaN(truth)) drawing("path", { class: "true", d: `M${(1000 * (truth - low)) / span} 0V1000` }, svg);
    const told = `${values.length} of ${facts.numDraws} draws in this pixel${of()}`;
    figure.querySelector("figcaption").replaceChildren(told, ...(Number.isNaN(truth) ? [] : [" ", element("span", { className: "true", textContent: "line: truth" })]));
    svg.setAttribute("aria-label", `Histogram of ${told}, from ${text(least)} to ${text(Math.max(...known))}`);
  }
  function profile(row, column) {
    const along = report.along === "row", count = along ? width : height;
    const index = Array.from({ length: count }, (_, k) => (along ? row * width + k : k * width + column));
    const quantile = (list, p) => { const place = p * (list.length - 1), k = Math.floor(place); return list[k] + (place - k) * ((list[k + 1] ?? list[k]) - list[k]); };
    const single = layers.q05 && (report.band >= 0 || report.channels === 1);
    const ends = index.map((i) => {
      if (single) return [report.one(layers.q05, i), report.one(layers.q95, i)];
      const list = draws.map((draw) => report.one(draw, i)).sort((a, b) => a - b);
      return [quantile(list, 0.05), quantile(list, 0.95)];
    });
    const mean = index.map((i) => report.one(layers.mean, i)), truth = layers.truth ? index.map((i) => report.one(layers.truth, i)) : [];
    const all = [...mean, ...truth, ...ends.flat()].filter(Number.isFinite), low = Math.min(...all), span = Math.max(...all) - low || 1e-6;
    const figure = box.querySelector(".profile"), svg = chart(figure, "0", `${along ? "column" : "row"} ${count - 1}`);
    const x = (k) => ((1000 * k) / Math.max(1, count - 1)).toFixed(1), y = (v) => (970 - (940 * (v - low)) / span).toFixed(1);
    const line = (values) => values.map((v, k) => `${k ? "L" : "M"}${x(k)} ${y(v)}`).join("");
    drawing("path", { class: "interval", d: line(ends.map((e) => e[0])) + ends.map((_, k) => `L${x(count - 1 - k)} ${y(ends[count - 1 - k][1])}`).join("") + "Z" }, svg);
    drawing("path", { class: "here", d: `M${x(along ? column : row)} 0V1000` }, svg);
    drawing("path", { class: "middle", d: line(mean) }, svg);
    if (truth.length) drawing("path", { class: "true", d: line(truth) }, svg);
    const told = `Mean and 90 % interval along this ${report.along}${of()}, from ${text(low)} to ${`${text(low + span)} ${unit}`.trim()}`;
    figure.querySelector("figcaption span").textContent = told;
    svg.setAttribute("aria-label", told);
  }
  function show(row, column, everywhere) {
    for (const { cross, pane } of report.views) {
      cross.hidden = !everywhere && !pane.closest(".closer");
      cross.style.cssText = `left:${(100 * column) / width}%;top:${(100 * row) / height}%;width:${100 / width}%;height:${100 / height}%`;
    }
    box.querySelector(".where").textContent = where(row, column);
    box.querySelector(".values").replaceChildren(...listed(row, column).flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })]));
    if (draws.length) { histogram(row * width + column); profile(row, column); }
  }
  report.refresh = () => show(...report.pixel, report.pinned);
  for (const { pane } of report.views) {
    const spot = (event) => {
      const area = pane.getBoundingClientRect(), u = (event.clientX - area.left) / area.width, v = (event.clientY - area.top) / area.height;
      return [Math.min(height - 1, Math.max(0, Math.floor(v * height))), Math.min(width - 1, Math.max(0, Math.floor(u * width)))];
    };
    pane.addEventListener("pointermove", (event) => {
      const found = spot(event);
      show(...found, true);
      const line = element("div", {});
      element("span", { className: "ends", textContent: where(...found) }, line);
      for (const [name, value] of listed(...found)) { const span = element("span", {}, line); element("b", { textContent: name }, span); span.append(` ${value}`); }
      bar.replaceChildren(line);
      bar.hidden = false;
    });
    pane.addEventListener("click", (event) => { report.pixel = spot(event); report.pinned = true; report.refresh(); });
    pane.addEventListener("pointerleave", () => { bar.hidden = true; report.refresh(); });
  }
  const spread = (i) => report.scalar("std", layers.std, i);
  let most = 0;
  for (let i = 1; i < report.size; i++) if (spread(i) > spread(most)) most = i;
  report.pixel = [Math.floor(most / width), most % width];
}

async function start(article) {
  const facts = JSON.parse(article.querySelector("script.held").textContent);
  const { layers, draws } = await unpackAll(facts), report = new Report(article, facts, layers, draws);
  for (const figure of article.querySelectorAll("figure[data-layer]")) {
    report.addView(figure.querySelector(".pane"), figure.querySelector(".bar"), figure.dataset.layer, figure.querySelector("figcaption").textContent);
  }
  closer(report);
  pixels(report);
  tools(report);
  article.classList.add("ready");
}

for (const article of document.querySelectorAll("article.report")) start(article);
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
