/* The matrix of cosines: drawn from bytes, asked by mouse or arrow keys, and heard. It uses what review.js defines. */
"use strict";

const FULL = 127;  // the byte of a cosine of 1
/* Ten colours along viridis (S. van der Walt, N. Smith: CC0), which is told apart without colours, too. */
const VIRIDIS = ["440154", "482878", "3e4a89", "31688e", "26838f", "1f9d8a", "36b779", "6cce5a", "b6de2b", "fee825"];
const ANCHORS = VIRIDIS.map((code) => [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16)));
const matrixAudio = new Audio();

/* Red, green and blue of a cosine; below 0 as 0. */
function shade(cosine) {
  const place = Math.min(Math.max(cosine, 0), 1) * (ANCHORS.length - 1);
  const from = Math.min(Math.floor(place), ANCHORS.length - 2), share = place - from;
  return ANCHORS[from].map((value, at) => Math.round(value + share * (ANCHORS[from + 1][at] - value)));
}

/* The colour of each byte, as canvases hold it. */
function palette() {
  const colours = new Uint32Array(256);
  for (let value = -FULL; value <= FULL; value++) {
    const [red, green, blue] = shade(value / FULL);
    colours[value & 255] = (255 << 24) | (blue << 16) | (green << 8) | red;
  }
  return colours;
}

class Matrix {
  constructor(place) {
    this.place = place;
    this.canvas = find("canvas", place);
    this.status = find(".status", place);
    this.at = null;
  }

  async load() {
    performance.mark("matrix-begins");
    const answer = await fetch(this.place.dataset.matrix);
    if (!answer.ok) {
      this.status.textContent = "The cosines could not be had.";
      return;
    }
    const buffer = await answer.arrayBuffer();
    const length = new DataView(buffer).getUint32(0, true);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    Object.assign(this, told);
    this.cosines = new Int8Array(buffer, 4 + length);
    this.image = this.painted();
    this.draw();
    performance.measure("matrix", "matrix-begins");
    this.canvas.dataset.drawn = this.ids.length;
    find("[data-of]", this.place).textContent = this.leftOut();
    this.listen();
  }

  leftOut() {
    const shown = this.ids.length + this.num_unheard, many = (num) => num.toLocaleString("en");
    const some = shown < this.num_all ? `${many(shown)} of ${many(this.num_all)} utterances, evenly chosen. ` : "";
    return some + (this.num_unheard ? `${many(this.num_unheard)} without a vector left out.` : "");
  }

  painted() {
    const num = this.ids.length, image = make("canvas", { width: Math.max(num, 1), height: Math.max(num, 1) });
    if (!num) return image;
    const pen = image.getContext("2d"), data = pen.createImageData(num, num);
    const pixels = new Uint32Array(data.data.buffer), colours = palette();
    for (let at = 0; at < pixels.length; at++) pixels[at] = colours[this.cosines[at] & 255];
    pen.putImageData(data, 0, 0);
    return image;
  }

  draw() {
    const num = this.ids.length, margin = 22;
    const [pen, width] = sized(this.canvas);
    const side = width - margin;
    Object.assign(this, { margin, side, cell: side / Math.max(num, 1) });
    pen.imageSmoothingEnabled = num > side;
    pen.drawImage(this.image, margin, margin, side, side);
    pen.strokeStyle = colour("--paper");
    pen.fillStyle = colour("--soft");
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    let start = 0;
    for (const [speaker, count] of this.groups) {
      const from = margin + start * this.cell, span = count * this.cell;
      this.label(pen, speaker, from + span / 2, span);
      if (start) {
        pen.lineWidth = 2;
        for (const [x, y, wide, high] of [[from, margin, 0, side], [margin, from, side, 0]]) {
          pen.beginPath();
          pen.moveTo(x, y);
          pen.lineTo(x + wide, y + high);
          pen.stroke();
        }
      }
      start += count;
    }
    for (const id of this.marked) this.point(pen, this.ids.indexOf(id));
    if (this.at) this.mark(pen);
  }

  /* Where the utterance that the page is about stands: an arrowhead above it and beside it. */
  point(pen, at) {
    const place = this.margin + (at + 0.5) * this.cell;
    pen.fillStyle = colour("--accent");
    for (const turn of [[place, this.margin, 5, 0], [this.margin, place, 0, 5]]) {
      const [x, y, wide, high] = turn;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x - wide - 1.4 * high, y - high - 1.4 * wide);
      pen.lineTo(x + wide - 1.4 * high, y + high - 1.4 * wide);
      pen.fill();
    }
  }

  /* A speaker's name above and, turned, beside his rows; cut to the room that there is. */
  label(pen, speaker, middle, room) {
    let text = speaker.slice(0, 80);
    while (text.length > 1 && pen.measureText(text).width > room - 6) text = `${text.slice(0, -2)}…`;
    if (room < 14) return;
    pen.fillText(text, middle, 11);
    pen.save();
    pen.translate(11, middle);
    pen.rotate(-Math.PI / 2);
    pen.fillText(text, 0, 0);
    pen.restore();
  }

  mark(pen) {
    const [row, column] = this.at, size = Math.max(this.cell, 5);
    const [x, y] = [column, row].map((one) => this.margin + (one + 0.5) * this.cell - size / 2);
    for (const [name, wide] of [["--paper", 4], ["--ink", 2]]) {
      pen.strokeStyle = colour(name);
      pen.lineWidth = wide;
      pen.strokeRect(x, y, size, size);
    }
  }

  listen() {
    this.canvas.addEventListener("pointermove", (event) => this.go(this.under(event)));
    this.canvas.addEventListener("click", (event) => { this.go(this.under(event)); this.play(); });
    this.canvas.addEventListener("focus", () => this.go(this.at || this.first()));
    this.canvas.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /* Where the arrow keys begin: the utterance that the page is about, beside the one before it. */
  first() {
    const row = Math.max(this.ids.indexOf(this.marked[0]), 0);
    return [row, row ? row - 1 : Math.min(1, this.ids.length - 1)];
  }

  under(event) {
    const place = (offset) => Math.floor((offset - this.margin) / this.cell);
    const at = [place(event.offsetY), place(event.offsetX)];
    return at.every((one) => one >= 0 && one < this.ids.length) ? at : null;
  }

  step(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter") this.play();
    else if (event.key in moves && this.at) {
      const wide = event.shiftKey ? 10 : 1;
      this.go(this.at.map((one, axis) => Math.min(Math.max(one + wide * moves[event.key][axis], 0), this.ids.length - 1)));
    } else return;
    event.preventDefault();
  }

  go(at) {
    if (!at || !this.ids.length || (this.at && at[0] === this.at[0] && at[1] === this.at[1])) return;
    this.at = at;
    this.draw();
    this.tell("");
  }

  tell(before) {
    const [row, column] = this.at, value = this.cosines[row * this.ids.length + column];
    const cosine = `cosine ${(value / FULL).toFixed(2)}`;
    const [one, other] = [this.ids[row], this.ids[column]].map((id) => make("bdi", {}, id.length > 120 ? `${id.slice(0, 120)}…` : id));
    this.status.replaceChildren(make("strong", {}, cosine), ` ${before} `, one, " and ", other);
  }

  async play() {
    if (!this.at) return;
    const asked = this.at;
    for (const player of players) player.audio.pause();
    for (const [turn, which] of ["plays the first:", "plays the second:"].entries()) {
      matrixAudio.src = soundOf(this.ids[asked[turn]]);
      this.tell(which);
      try {
        await matrixAudio.play();
        await new Promise((done) => {
          for (const name of ["ended", "pause", "error"]) matrixAudio.addEventListener(name, done, { once: true });
        });
      } catch {
        return;
      }
      if (!matrixAudio.ended || this.at !== asked) break;
    }
    this.tell("");
  }
}

function startMatrix() {
  const place = find(".matrix");
  if (!place) return;
  const scale = find(".scale", place);
  const [pen, width, height] = sized(scale);
  for (let x = 0; x < width; x++) {
    pen.fillStyle = `rgb(${shade(x / Math.max(width - 1, 1)).join(" ")})`;
    pen.fillRect(x, 0, 1.5, height);
  }
  new Matrix(place).load();
}
