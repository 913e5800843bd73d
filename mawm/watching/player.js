// Plays a battle: time, speed, scrubbing, keys, the chosen agent, and the line of time below the field.

const STEPS_PER_SECOND = 2; // at speed 1x, as in the game: a step has 8 game loops, 16 loops are a second
const state = {
  battle: null, time: 0, playing: false, speed: 1, agent: DATA.agent, ahead: Math.min(5, DATA.horizon), extent: null,
  layers: { sight: true, belief: true, future: true, whole: false },
};
let at = null; // the projection of the last drawing
let shownFrame = -1; // the frame that the panels show
let lastTick = 0;

const frameNow = () => Math.min(Math.floor(state.time), state.battle.steps);

function drawTimeline() {
  const { battle, agent } = state;
  const { pen, width, height } = prepared(byId("timeline"));
  const x = (frame) => 8 + ((width - 16) * frame) / Math.max(1, battle.steps);
  const [low, high] = [Math.min(0, ...battle.returns), Math.max(0.001, ...battle.returns)];
  const y = (value) => 34 - (30 * (value - low)) / (high - low);
  pen.beginPath();
  battle.returns.forEach((value, frame) => (frame ? pen.lineTo(x(frame), y(value)) : pen.moveTo(x(0), y(value))));
  pen.strokeStyle = "#9aa5b5";
  pen.lineWidth = 1.6;
  pen.stroke();
  pen.fillStyle = "#5c6675";
  pen.font = "11px system-ui, sans-serif";
  pen.fillText("return", x(0) + 2, 12);
  for (let unit = 0; unit < battle.units; unit++) {
    for (let frame = 1; frame <= battle.steps; frame++) {
      if (battle.alive(frame, unit) || !battle.alive(frame - 1, unit)) continue;
      pen.fillStyle = colourOf(unit);
      pen.beginPath();
      pen.arc(x(frame), 39, 3.5, 0, TAU);
      pen.fill();
    }
  }
  for (const segment of battle.segments.filter((found) => found.agent === agent)) {
    const [from, to] = [x(segment.first) + 1, x(Math.min(segment.last + 1, battle.steps)) - 1];
    pen.fillStyle = segment.fate === "sent" ? COLOURS.ghost : segment.fate === "kept" ? "#d5dae1" : "#c9a9e6";
    pen.fillRect(from, 46, Math.max(2, to - from), 6);
  }
  pen.fillStyle = COLOURS.ink;
  pen.fillRect(x(state.time) - 1, 0, 2, height);
}

function draw() {
  if (DATA.engine) at = drawField(byId("field"), state);
  else if (state.battle.pictures) drawPicture(byId("field"), state);
  drawTimeline();
  const frame = frameNow();
  if (frame === shownFrame) return;
  shownFrame = frame;
  const { battle } = state;
  byId("scrub").value = String(frame);
  byId("clock").textContent = `step ${frame} of ${battle.steps} · return ${battle.returns[frame].toFixed(2)}`;
  const over = frame === battle.steps;
  byId("outcome").hidden = !over;
  byId("outcome").className = battle.end === "won" ? "won" : battle.end === "lost" ? "lost" : "";
  byId("outcome").textContent = battle.end;
  showAgent(state, frame);
  if (DATA.model) {
    showBelief(state, frame);
    showFuture(state, frame);
  }
  markSegment(frame);
}

function refresh() {
  shownFrame = -1;
  draw();
}

function play(on) {
  if (on && state.time >= state.battle.steps) state.time = 0;
  if (!on && state.playing) state.time = frameNow();
  state.playing = on;
  byId("play").textContent = on ? "Pause" : "Play";
  lastTick = performance.now();
  if (on) requestAnimationFrame(tick);
  draw();
}

function tick(now) {
  if (!state.playing) return;
  // The time of the first picture may lie before the click that started it.
  const seconds = Math.max(0, now - lastTick) / 1000;
  state.time = Math.min(state.battle.steps, state.time + seconds * STEPS_PER_SECOND * state.speed);
  lastTick = now;
  if (state.time >= state.battle.steps) play(false);
  else {
    draw();
    requestAnimationFrame(tick);
  }
}

function seek(frame) {
  play(false);
  state.time = Math.max(0, Math.min(state.battle.steps, frame));
  draw();
}

function choose(agent) {
  if (agent < 0 || agent >= DATA.agents) return;
  state.agent = agent;
  showSharing(state, seek);
  showSummary(state);
  refresh();
}

function setAhead(steps) {
  state.ahead = Math.max(1, Math.min(DATA.horizon, steps));
  byId("ahead").value = String(state.ahead);
  showSummary(state);
  refresh();
}

function setSpeed(offset) {
  const menu = byId("speed");
  menu.selectedIndex = Math.max(0, Math.min(menu.options.length - 1, menu.selectedIndex + offset));
  state.speed = Number(menu.value);
}

/** The living unit at a place of the canvas, allies first; -1 if there is none. */
function unitAt(event, most) {
  if (!DATA.engine) return -1;
  const frame = frameNow();
  let [best, least] = [-1, Infinity];
  for (let unit = 0; unit < most; unit++) {
    const { x, y } = placeOf(state.battle, unit, state.time);
    const gap = Math.hypot(at.x(x) - event.offsetX, at.y(y) - event.offsetY);
    const reach = radiusOf(state.battle, unit, at) + 10;
    const shown = state.battle.alive(frame, unit) || unit < DATA.agents;
    if (shown && gap < Math.min(least, reach)) [best, least] = [unit, gap];
  }
  return best;
}

function showTip(event) {
  const { battle } = state;
  const unit = unitAt(event, battle.units);
  const tip = byId("tip");
  tip.hidden = unit < 0;
  if (unit < 0) return;
  const frame = frameNow();
  const shield = battle.shield[unit] > 0 ? `, shield ${battle.shields(frame, unit).toFixed(0)}` : "";
  const doing = unit < DATA.agents && frame < battle.steps && battle.alive(frame, unit)
    ? `\n${actionName(battle, unit, battle.action(frame, unit))}` : "";
  const life = battle.alive(frame, unit) ? `health ${battle.health(frame, unit).toFixed(0)}${shield}` : "dead";
  tip.textContent = `${nameOf(unit)}, ${battle.kinds[unit]}\n${life}${doing}`;
  tip.style.left = `${Math.min(event.offsetX + 14, byId("frame").clientWidth - 150)}px`;
  tip.style.top = `${Math.max(0, event.offsetY - 50)}px`;
}

const KEYS = {
  " ": () => play(!state.playing),
  ArrowRight: (event) => seek(frameNow() + (event.shiftKey ? 10 : 1)),
  ArrowLeft: (event) => seek(frameNow() - (event.shiftKey ? 10 : 1)),
  Home: () => seek(0),
  End: () => seek(state.battle.steps),
  "+": () => setSpeed(1),
  "-": () => setSpeed(-1),
  "[": () => setAhead(state.ahead - 1),
  "]": () => setAhead(state.ahead + 1),
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
  if (event.target.id === "ahead" && event.key.startsWith("Arrow")) return;
  const digit = /^[0-9]$/.test(event.key);
  if (event.key === " " && event.target.tagName === "BUTTON" && event.target.id !== "play") return;
  if (!digit && !KEYS[event.key]) return;
  event.preventDefault();
  if (digit) choose(Number(event.key));
  else KEYS[event.key](event);
}

async function show(number) {
  state.playing = false;
  state.battle = await openBattle(DATA.battles[number]);
  if (DATA.engine) state.extent = extentOf(state.battle);
  showStage(state.battle);
  state.time = 0;
  byId("scrub").max = String(state.battle.steps);
  showAgents(state.battle, choose);
  choose(state.agent);
  play(false);
}

const MARKS = [
  ["agent, with its number", '<circle cx="8" cy="8" r="6" fill="#1f6fd6"/>'],
  ["enemy", '<circle cx="8" cy="8" r="6" fill="#d1541f"/>'],
  ["shield", '<circle cx="8" cy="8" r="6" fill="none" stroke="#38b6d8" stroke-width="2.5"/>'],
  ["dead", '<path d="M4 4L12 12M12 4L4 12" stroke="#8a94a3" stroke-width="2"/>'],
  ["aims at", '<path d="M1 8H15" stroke="#5c6675" stroke-width="1.5" stroke-dasharray="2 3"/>'],
  ["hits", '<path d="M1 8H15" stroke="#5c6675" stroke-width="3"/>'],
];
const MODEL_MARKS = [
  ["believed place", '<circle cx="8" cy="8" r="6" fill="none" stroke="#8b3fc9" stroke-width="2" stroke-dasharray="4 3"/>'],
  ["imagined", '<circle cx="8" cy="8" r="6" fill="#8b3fc9" fill-opacity=".25" stroke="#8b3fc9"/>'],
  ["what then happened", '<circle cx="8" cy="8" r="6" fill="none" stroke="#d1541f" stroke-opacity=".6" stroke-width="2"/>'],
];

function showLegend() {
  const marks = DATA.engine ? [...MARKS, ...(DATA.model ? MODEL_MARKS : [])] : [];
  byId("legend").replaceChildren(...marks.map(([name, mark]) => {
    const item = element("li");
    item.innerHTML = `<svg width="16" height="16" viewBox="0 0 16 16">${mark}</svg>`;
    item.append(name);
    return item;
  }));
  const sent = DATA.battles.some((battle) => battle.segments.length) ? ", the agent's segments (violet: sent)" : "";
  const lost = DATA.engine ? "deaths" : "agents that leave";
  byId("legend").append(element("li", "", `Line of time: return so far, ${lost} (dots)${sent}.`));
}

function connect() {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("play", "click", () => play(!state.playing));
  on("first", "click", () => seek(0));
  on("back", "click", () => seek(frameNow() - 1));
  on("next", "click", () => seek(frameNow() + 1));
  on("last", "click", () => seek(state.battle.steps));
  on("scrub", "input", (event) => seek(Number(event.target.value)));
  on("speed", "change", () => setSpeed(0));
  on("battle", "change", (event) => show(Number(event.target.value)));
  on("ahead", "input", (event) => setAhead(Number(event.target.value)));
  const boxes = { "show-sight": "sight", "show-belief": "belief", "show-future": "future", "whole-map": "whole" };
  for (const [id, layer] of Object.entries(boxes)) {
    on(id, "change", (event) => {
      state.layers[layer] = event.target.checked;
      draw();
    });
  }
  on("field", "click", (event) => choose(unitAt(event, DATA.agents)));
  on("field", "mousemove", showTip);
  on("field", "mouseleave", () => (byId("tip").hidden = true));
  document.addEventListener("keydown", onKey);
  new ResizeObserver(() => state.battle && draw()).observe(byId("field"));
}

function begin() {
  const seeded = `${DATA.mode === "greedy" ? "greedy" : "sampled"} actions, seed ${DATA.seed}`;
  byId("facts").textContent = `${seeded}; time limit ${DATA.limit} steps`
    + (DATA.engine ? "; embedded engine, not StarCraft II" : "");
  DATA.battles.forEach((battle, number) => {
    byId("battle").append(new Option(`${battle.number}: ${battle.end}, ${battle.steps} steps`, String(number)));
  });
  byId("choose-battle").hidden = DATA.battles.length < 2;
  byId("ahead").max = String(DATA.horizon);
  byId("ahead").value = String(state.ahead);
  document.querySelectorAll(".with-model").forEach((part) => (part.hidden = !DATA.model));
  showLegend();
  connect();
  return show(0);
}

begin();
