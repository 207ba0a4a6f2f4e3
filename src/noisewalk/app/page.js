/* The brush and the viewer of draws. Both are drawn anew when the picture inside them has loaded. */
"use strict";
(() => {
  if (window.noisewalkPage) return;
  window.noisewalkPage = true;
  const BINS = 16, BLINK = 450;
  const memory = { draw: 0, pixel: null, blink: false, show: null };
  setInterval(() => { if (memory.blink && memory.show) memory.show(memory.draw + 1); }, BLINK);
  const colour = (r, g, b) => (r + g + b) / 3;

  // Gradio may keep the elements of a box when it shows new draws: what they listened to must go.
  const listening = new WeakMap();
  function start(image) {
    const box = image.closest(".nw-paint, .nw-viewer");
    if (!box || (box.dataset.ready && listening.get(box)?.source === image.src)) return;
    box.dataset.ready = "1";
    listening.get(box)?.until.abort();
    const until = new AbortController();
    listening.set(box, { source: image.src, until });
    const on = (element, name, act) => element.addEventListener(name, act, { signal: until.signal });
    (box.classList.contains("nw-paint") ? paint : view)(box, image, on);
  }
  document.addEventListener("load", (event) => {
    if (event.target.matches?.("img.nw-source")) start(event.target);
  }, true);
  new MutationObserver(() => document.querySelectorAll("img.nw-source").forEach((image) => {
    if (image.complete && image.naturalWidth) start(image);
  })).observe(document, { childList: true, subtree: true });

  function send(id, value) {
    const field = document.querySelector(`#${id} textarea, #${id} input`);
    if (!field) return;
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function spot(event, canvas, width, height) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / box.width * width);
    const row = Math.floor((event.clientY - box.top) / box.height * height);
    return [Math.min(height - 1, Math.max(0, row)), Math.min(width - 1, Math.max(0, column))];
  }
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  function moved(at, key, height, width) {
    const [down, right] = MOVES[key];
    return [(at[0] + down + height) % height, (at[1] + right + width) % width];
  }

  function paint(box, image, on) {
    const width = +box.dataset.width, height = +box.dataset.height;
    const canvas = box.querySelector("canvas"), pen = canvas.getContext("2d");
    const size = box.querySelector(".nw-size"), eraser = box.querySelector(".nw-erase");
    const mask = new Uint8Array(width * height);
    let at = [height >> 1, width >> 1], painting = false, cursor = false;
    canvas.style.setProperty("--nw-aspect", `${width} / ${height}`);
    function draw() {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, 0, 0, width, height);
      pen.fillStyle = "rgba(220, 38, 127, .75)";
      for (let k = 0; k < mask.length; k++) if (mask[k]) pen.fillRect(k % width, Math.floor(k / width), 1, 1);
      if (cursor) { pen.fillStyle = "rgba(255, 200, 0, .9)"; pen.fillRect(at[1], at[0], 1, 1); }
    }
    function dab(row, column) {
      const radius = size.value / 2, value = eraser.getAttribute("aria-pressed") === "true" ? 0 : 1;
      for (let i = 0; i < height; i++) for (let j = 0; j < width; j++)
        if ((i - row) ** 2 + (j - column) ** 2 <= radius * radius) mask[i * width + j] = value;
    }
    function line(from, to) {
      const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
      for (let k = 0; k <= steps; k++)
        dab(from[0] + (to[0] - from[0]) * k / steps, from[1] + (to[1] - from[1]) * k / steps);
      draw();
    }
    function done() {
      const packed = new Uint8Array(Math.ceil(mask.length / 8));
      mask.forEach((value, k) => { if (value) packed[k >> 3] |= 128 >> (k & 7); });
      let text = "";
      packed.forEach((byte) => { text += String.fromCharCode(byte); });
      send("nw-mask", mask.some((v) => v) ? `${width}x${height}:${btoa(text)}` : "");
    }
    on(canvas, "pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      painting = true; at = spot(event, canvas, width, height); line(at, at);
    });
    on(canvas, "pointermove", (event) => {
      if (!painting) return;
      const to = spot(event, canvas, width, height);
      line(at, to); at = to;
    });
    for (const name of ["pointerup", "pointercancel"])
      on(canvas, name, () => { if (painting) { painting = false; done(); } });
    on(canvas, "keydown", (event) => {
      if (MOVES[event.key]) at = moved(at, event.key, height, width);
      else if (event.key === " ") { dab(...at); done(); }
      else return;
      event.preventDefault(); cursor = true; draw();
    });
    on(canvas, "blur", () => { cursor = false; draw(); });
    on(eraser, "click", () =>
      eraser.setAttribute("aria-pressed", String(eraser.getAttribute("aria-pressed") !== "true")));
    on(box.querySelector(".nw-clear"), "click", () => { mask.fill(0); draw(); done(); });
    draw();
  }

  function view(box, image, on) {
    const count = +box.dataset.count, width = +box.dataset.width, height = +box.dataset.height;
    const black = +box.dataset.black, white = +box.dataset.white, unit = box.dataset.unit;
    const canvas = box.querySelector("canvas"), pen = canvas.getContext("2d");
    const name = box.querySelector(".nw-name"), slide = box.querySelector(".nw-slide");
    const blink = box.querySelector(".nw-blink"), report = box.querySelector(".nw-pixel");
    canvas.width = width; canvas.height = height;
    box.style.setProperty("--nw-aspect", `${width} / ${height}`);
    const sheet = document.createElement("canvas");
    sheet.width = width; sheet.height = height * count;
    const held = sheet.getContext("2d", { willReadFrequently: true });
    held.drawImage(image, 0, 0);
    let compared = null;
    function draw() {
      pen.imageSmoothingEnabled = false;
      pen.clearRect(0, 0, width, height);
      if (compared) pen.drawImage(box.querySelector(`.nw-other[data-name="${compared}"]`), 0, 0, width, height);
      else pen.drawImage(sheet, 0, memory.draw * height, width, height, 0, 0, width, height);
      name.textContent = compared ? `The ${compared}` : `Draw ${memory.draw + 1} of ${count}`;
      if (memory.pixel) {
        pen.strokeStyle = "#d97706"; pen.lineWidth = Math.max(.4, width / 160);
        pen.strokeRect(memory.pixel[1] + .1, memory.pixel[0] + .1, .8, .8);
      }
    }
    const number = (value) => `${Number(value.toPrecision(3))}${unit ? " " + unit : ""}`;
    function histogram() {
      if (!memory.pixel) return;
      const [row, column] = memory.pixel, values = [], counts = new Array(BINS).fill(0);
      for (let k = 0; k < count; k++) {
        const [r, g, b] = held.getImageData(column, k * height + row, 1, 1).data;
        values.push(black + colour(r, g, b) / 255 * (white - black));
      }
      const shares = values.map((v) => (v - black) / (white - black));
      shares.forEach((s) => { counts[Math.min(BINS - 1, Math.floor(s * BINS))]++; });
      const mean = values.reduce((a, b) => a + b, 0) / count, most = Math.max(...counts);
      const spread = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / Math.max(1, count - 1));
      const bars = counts.map((c, k) => `<rect x="${k * 20 + 1}" y="${80 - 76 * c / most}" width="18" height="${76 * c / most}"/>`);
      const now = shares[memory.draw] * BINS * 20;
      report.innerHTML = `<p></p><svg viewBox="0 0 320 90" role="img" aria-label="Histogram of the pixel over the draws">${bars.join("")}<line x1="${now}" x2="${now}" y1="0" y2="84"/></svg><p></p>`;
      const [first, last] = report.querySelectorAll("p");
      first.textContent = `Pixel in row ${row}, column ${column}: ${number(mean)} ± ${number(spread)} over ${count} draws.`;
      last.textContent = `From ${number(black)} on the left to ${number(white)} on the right; the line is the draw that is shown.`;
    }
    function show(k) {
      memory.draw = (k + count) % count; slide.value = memory.draw + 1; draw(); histogram();
    }
    on(slide, "input", () => show(slide.value - 1));
    function setBlink(yes) {
      memory.blink = yes; blink.setAttribute("aria-pressed", String(yes));
    }
    on(blink, "click", () => setBlink(!memory.blink));
    box.querySelectorAll(".nw-hold").forEach((button) => {
      const hold = (down) => () => { compared = down ? button.dataset.name : null; draw(); };
      on(button, "pointerdown", hold(true));
      for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"]) on(button, end, hold(false));
      on(button, "keydown", (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); hold(true)(); } });
      on(button, "keyup", hold(false));
      on(button, "contextmenu", (event) => event.preventDefault());
    });
    function choose(at) { memory.pixel = at; draw(); histogram(); }
    on(canvas, "click", (event) => choose(spot(event, canvas, width, height)));
    on(canvas, "keydown", (event) => {
      if (!MOVES[event.key]) return;
      event.preventDefault(); choose(moved(memory.pixel || [height >> 1, width >> 1], event.key, height, width));
    });
    if (memory.pixel && (memory.pixel[0] >= height || memory.pixel[1] >= width)) memory.pixel = null;
    setBlink(memory.blink);
    memory.show = show;
    show(Math.min(memory.draw, count - 1));
  }
})();
