/* What the pages can do beyond links and forms: keys, players with outlines, and the matrix of matrix.js, which is loaded
   before. Text from a corpus is only ever put in by textContent. */
"use strict";

const find = (what, where = document) => where.querySelector(what);
const all = (what, where = document) => [...where.querySelectorAll(what)];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const soundOf = (id) => `/sound?${new URLSearchParams({ utterance: id })}`;

function make(tag, values = {}, text = "") {
  const made = Object.assign(document.createElement(tag), values);
  made.textContent = text;
  return made;
}

/* A canvas as sharp as the screen, in units of CSS; its width and height there. */
function sized(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(Math.round(width * ratio), 1);
  canvas.height = Math.max(Math.round(height * ratio), 1);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [pen, width, height];
}

/* The one line of a page that says what cannot be done. */
async function faultOf(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return (find(".why", page) || page.body).textContent.trim();
}

/* ------------------------------------------------------------------------------------------------- players */

const players = [];
let current = null;

class Player {
  constructor(figure) {
    this.figure = figure;
    this.audio = find("audio", figure);
    this.outline = null;
    this.frame = 0;  // that is waited for while it plays
    this.audio.removeAttribute("controls");
    this.button = make("button", { type: "button", className: "play" });
    this.button.setAttribute("aria-label", `Play ${figure.dataset.utterance.slice(0, 100)}`);
    this.canvas = make("canvas", { className: "wave" });
    this.canvas.setAttribute("aria-hidden", "true");
    this.time = make("span", { className: "time" });
    find(".sound", figure).append(this.button, this.canvas, this.time);
    this.button.addEventListener("click", () => this.turn());
    this.canvas.addEventListener("click", (event) => this.seek(event.offsetX / this.canvas.clientWidth));
    for (const name of ["play", "pause", "ended", "seeked"]) this.audio.addEventListener(name, () => this.show());
    this.audio.addEventListener("error", () => this.fail());
    this.show();
  }

  async load() {
    try {
      const answer = await fetch(this.figure.dataset.outline);
      if (!answer.ok) throw new Error(await faultOf(answer));
      this.outline = await answer.json();
      this.draw();
    } catch (error) {
      this.fail(error.message);
    }
  }

  fail(why) {
    this.figure.classList.add("silent");
    this.button.disabled = true;
    this.time.textContent = "cannot be played";
    if (why) this.figure.title = why;
  }

  turn() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  play() {
    for (const other of players) if (other !== this) other.audio.pause();
    matrixAudio.pause();
    current = this;
    return this.audio.play().catch((error) => {
      if (error.name !== "AbortError") this.fail();  // it was stopped before it began
    });
  }

  seek(share) {
    const length = this.outline ? this.outline.duration_s : this.audio.duration;
    if (!Number.isFinite(length)) return;
    const place = () => { this.audio.currentTime = share * length; };
    if (this.audio.readyState) place();
    else this.audio.addEventListener("loadedmetadata", place, { once: true });
    this.play();
  }

  show() {
    const plays = !this.audio.paused && !this.audio.ended;
    this.button.setAttribute("aria-pressed", String(plays));
    this.figure.classList.toggle("plays", plays);
    this.draw();
    cancelAnimationFrame(this.frame);
    if (plays) this.frame = requestAnimationFrame(() => this.show());
  }

  draw() {
    if (!this.outline || !this.canvas.clientWidth) return;
    const [pen, width, height] = sized(this.canvas);
    const { low, high, duration_s: length } = this.outline;
    const done = length ? this.audio.currentTime / length : 0;
    const bars = Math.min(Math.floor(width / 3), low.length);
    const greatest = Math.max(16, ...high, ...low.map((value) => -value));  // a quiet one is seen as well
    for (let bar = 0; bar < bars; bar++) {
      const from = Math.floor((bar * low.length) / bars), to = Math.max(Math.floor(((bar + 1) * low.length) / bars), from + 1);
      const top = Math.max(...high.slice(from, to), 0) / greatest, bottom = Math.min(...low.slice(from, to), 0) / greatest;
      pen.fillStyle = (bar + 0.5) / bars <= done ? colour("--accent") : colour("--wave");
      const reach = Math.max((top - bottom) * (height / 2), 1.5);
      pen.fillRect(bar * (width / bars), height / 2 - top * (height / 2 - 1), 2, reach);
    }
    this.time.textContent = `${(this.audio.paused && !this.audio.currentTime ? length : this.audio.currentTime).toFixed(1)} s`;
  }
}

function startPlayers() {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      players.find((one) => one.figure === entry.target).load();
    }
  }, { rootMargin: "200px" });
  for (const figure of all(".player")) {
    players.push(new Player(figure));
    seen.observe(figure);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => players.forEach((one) => one.draw()));
  current = players.find((one) => one.figure.closest(".listen")) || null;
}

/* ---------------------------------------------------------------------------------------------------- keys */

const typed = (where) => where.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

function press(event) {
  if (event.repeat && !["n", "p", " "].includes(event.key)) return;  // what is held down would decide on the next item
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || find("dialog[open]")) return;
  if (typed(event.target)) return;
  if (event.key === " ") {
    if (!current || event.target.closest("button, a, summary, input, audio")) return;
    current.turn();
  } else if ((event.key === "n" || event.key === "p") && find(".items")) {
    along(event.key === "n" ? 1 : -1);
  } else if ((event.key === "l" || event.key === "m") && find("[data-takes]")) {
    if (!take(event.key)) return;
  } else {
    const button = all("[data-keys]").find((one) => one.dataset.keys.split(" ").includes(event.key));
    if (!button) return;
    button.click();
  }
  event.preventDefault();
}

/* From one entry of the queue to the next. */
function along(step) {
  const links = all(".items a.id"), at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + step, 0), links.length - 1)];
  if (next) next.focus();
}

/* Say it of the speaker who is chosen or typed; where nobody is, choose the nearest. Whether the key means it here. */
function take(key) {
  const button = find("[data-takes]"), form = button.form;
  if ((key === "l") !== (button.value === "relabel")) return false;
  const first = find("input[type=radio]", form);
  if (form.elements.to.value.trim() || find("input[type=radio]:checked", form)) button.click();
  else if (first) {
    first.checked = true;
    first.focus();
  } else form.elements.to.focus();
  return true;
}

/* One page says one thing, and takes back one thing: a second press comes before the answer to the first is there. */
function sendOnce(forms) {
  let isSent = false;
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      if (isSent) event.preventDefault();
      isSent = true;
    });
  }
  window.addEventListener("pageshow", () => { isSent = false; });
}

function startKeys() {
  document.addEventListener("keydown", press);
  for (const opener of all("[data-opens]")) {
    opener.addEventListener("click", () => document.getElementById(opener.dataset.opens).showModal());
  }
  sendOnce(all("form[method=post]"));
  const form = document.getElementById("say");
  if (!form || !form.elements.to) return;
  form.elements.to.addEventListener("input", () => all("input[type=radio]", form).forEach((one) => { one.checked = false; }));
  form.elements.to.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    find("[data-takes]").click();
  });
}

document.documentElement.classList.add("scripted");
startPlayers();
startMatrix();
startKeys();
