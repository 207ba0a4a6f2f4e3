"use strict";
document.documentElement.classList.add("js");

const text = (value, digits = 4) => Number(value.toPrecision(digits)).toString().replace("-", "\u2212");

/* 16-bit integers back to values in the user's unit. */
function unpack(layer) {
  const raw = Uint8Array.from(atob(layer.data), (c) => c.charCodeAt(0));
  const view = new DataView(raw.buffer);
  const [channels, height, width] = layer.shape;
  const at = (c, row, column) => {
    const level = view.getUint16(2 * ((c * height + row) * width + column), true);
    return level === 65535 ? NaN : layer.start + layer.step * level;
  };
  return { channels, height, width, at };
}

function element(tag, properties, parent) {
  const node = Object.assign(document.createElement(tag), properties);
  if (parent) parent.append(node);
  return node;
}

/* Two large pictures: any layer of the page on the left, the draws one after another on the right. */
function viewer(article) {
  const section = article.querySelector(".viewer");
  const draws = [...article.querySelectorAll("img[data-draw]")];
  const layers = new Map([...article.querySelectorAll("figure[data-layer]")].map((f) => [f.dataset.layer, f.querySelector(".pane img")]));
  const slider = section.querySelector("input"), play = section.querySelector(".play"), output = section.querySelector("output");
  const mean = layers.get("Mean");
  const [width, height] = ["width", "height"].map((name) => Number(mean.getAttribute(name)));
  section.querySelector(".stage").style.setProperty("--w", `${width * Math.max(1, Math.floor((Math.max(width, height) < 96 ? 384 : 512) / Math.max(width, height)))}px`);
  const [left, right] = [...section.querySelectorAll(".pane")].map((pane) => {
    pane.style.aspectRatio = `${width} / ${height}`;
    return element("img", { alt: "", draggable: false }, pane);
  });
  const copy = (image, source) => { image.src = source.src; image.alt = source.alt; };

  const buttons = new Map();
  const still = (name) => {
    copy(left, layers.get(name));
    buttons.forEach((button, key) => button.setAttribute("aria-pressed", String(key === name)));
  };
  for (const name of layers.keys()) {
    const button = element("button", { type: "button", textContent: name }, section.querySelector(".layers"));
    button.addEventListener("click", () => still(name));
    buttons.set(name, button);
  }
  still("Uncertainty");

  /* Neighbours in the order shown come from different chains. */
  const chains = new Map(), order = [];
  for (const draw of draws) {
    const chain = draw.dataset.draw.split(",")[0];
    chains.set(chain, [...(chains.get(chain) || []), draw]);
  }
  for (let j = 0; order.length < draws.length; j++) for (const list of chains.values()) if (list[j]) order.push(list[j]);
  if (!order.length) { section.querySelector(".film").remove(); return; }
  let timer = 0;
  const film = () => { copy(right, order[slider.value]); output.textContent = order[slider.value].dataset.draw; };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  slider.max = order.length - 1;
  slider.addEventListener("input", () => { stop(); film(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    timer = setInterval(() => { slider.value = (Number(slider.value) + 1) % order.length; film(); }, 350);
  });
  play.disabled = order.length < 2;
  right.addEventListener("pointerdown", () => { stop(); copy(right, left); });
  ["pointerup", "pointerleave", "pointercancel"].forEach((name) => right.addEventListener(name, film));
  film();
  for (const said of [
    "Play the draws: what moves is uncertain, what stands still is known.",
    "Press and hold the draw to see the left picture in its place.",
    "Point at any picture on this page to read its values and to find the same pixel in the others.",
  ]) element("p", { textContent: said }, section.querySelector(".hint"));
}

/* The same pixel marked in every picture, and its values in a bar below. */
function readout(article) {
  const script = article.querySelector("script.pixels");
  if (!script) return;
  const bar = document.getElementById("readout");
  const pixels = JSON.parse(script.textContent);
  const { mean, std, truth, measurement } = Object.fromEntries(Object.entries(pixels.layers).map(([name, layer]) => [name, unpack(layer)]));
  const panes = [...article.querySelectorAll(".pane.linked")];
  const crosses = panes.map((pane) => element("i", { className: "cross", hidden: true }, pane));
  const names = mean.channels === 3 ? ["R ", "G ", "B "] : [""];
  let decoded = null;

  function drawValues() {
    if (decoded) return decoded;
    decoded = [...article.querySelectorAll("img[data-draw]")].map((image) => {
      const canvas = element("canvas", { width: mean.width, height: mean.height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, mean.width, mean.height).data;
    });
    return decoded;
  }
  function show(u, v) {
    const row = Math.min(mean.height - 1, Math.floor(v * mean.height)), column = Math.min(mean.width - 1, Math.floor(u * mean.width));
    for (const cross of crosses) {
      cross.hidden = false;
      cross.style.cssText = `left:${(100 * column) / mean.width}%;top:${(100 * row) / mean.height}%;width:${100 / mean.width}%;height:${100 / mean.height}%`;
    }
    const get = (layer, c) => layer.at(Math.min(c, layer.channels - 1), Math.floor((row * layer.height) / mean.height), Math.floor((column * layer.width) / mean.width));
    const line = element("div", {});
    const add = (name, layer, spread) => {
      const values = names.map((_, c) => get(layer, c));
      const said = names.map((label, c) => label + (Number.isNaN(values[c]) ? "\u2013" : text(values[c])) + (spread ? ` \u00b1 ${text(get(spread, c), 3)}` : ""));
      const span = element("span", {}, line);
      element("b", { textContent: name }, span);
      span.append(values.every(Number.isNaN) ? " \u2013 not observed" : ` ${said.join("  ")} ${pixels.unit}`);
    };
    element("span", { className: "ends", textContent: `row ${pixels.bottomUp ? mean.height - 1 - row : row}, column ${column}` }, line);
    if (truth) add("truth", truth);
    if (measurement) add("measurement", measurement);
    add("mean", mean, std);
    if (mean.channels === 1) {
      element("span", { className: "ends", textContent: text(pixels.low) }, line);
      const dots = element("span", { className: "dots" }, line);
      for (const data of drawValues()) element("i", {}, dots).style.left = `${data[4 * (row * mean.width + column)] / 2.55}%`;
      if (truth) element("i", { className: "true" }, dots).style.left = `${Math.min(100, Math.max(0, (100 * (truth.at(0, row, column) - pixels.low)) / (pixels.high - pixels.low)))}%`;
      element("span", { className: "ends", textContent: text(pixels.high) }, line);
    }
    bar.replaceChildren(line);
    bar.hidden = false;
  }
  const hide = () => { crosses.forEach((cross) => { cross.hidden = true; }); bar.hidden = true; };
  for (const pane of panes) {
    pane.addEventListener("pointermove", (event) => {
      const box = pane.getBoundingClientRect();
      const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
      if (u >= 0 && u < 1 && v >= 0 && v < 1) show(u, v);
    });
    pane.addEventListener("pointerleave", hide);
  }
}

for (const article of document.querySelectorAll("article.report")) {
  viewer(article);
  readout(article);
}
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
