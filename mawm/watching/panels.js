// The panels beside the field: the chosen agent's policy, belief, imagined future and broadcasts.

const byId = (id) => document.getElementById(id);
const SMALL = { "font-size": 11, fill: "#5c6675" };
const LOSSES = { avail: "mask", terminal: "end", reward: "reward", kl: "KL" };

/** An element with a class and text. */
function element(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text !== "") made.textContent = text;
  return made;
}

function table(heads, rows) {
  const made = element("table");
  const head = made.createTHead().insertRow();
  heads.forEach(([text, kind]) => head.append(element("th", kind, text)));
  const body = made.createTBody();
  rows.forEach((row) => body.append(row));
  return made;
}

function cell(row, content, kind = "") {
  const made = element("td", kind);
  made.append(content);
  row.append(made);
}

const percent = (share) => `${Math.round(100 * share)} %`;
const kilobytes = (bytes) => (bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`);

/** Two bars, the true share above the believed one; null leaves a bar out. */
function meter(real, guess, colour) {
  const made = element("div", "meter");
  const bar = (kind, share, paint) => {
    const found = element("i", kind);
    if (share !== null) found.style.width = `${100 * Math.min(1, share)}%`;
    if (paint) found.style.background = paint;
    made.append(found);
  };
  bar("rail true", null);
  bar("rail low", null);
  if (real !== null) bar("true", real, colour);
  if (guess !== null) bar("guess", guess);
  const text = (share) => (share === null ? "-" : percent(share));
  made.title = `real ${text(real)}, believed ${text(guess)}`;
  return made;
}

function unitCell(battle, unit) {
  const made = element("span");
  made.append(element("i", `dot ${unit < DATA.agents ? "ally" : "enemy"}`), nameOf(unit));
  const side = unit < DATA.agents ? battle.kinds.slice(0, DATA.agents) : battle.kinds.slice(DATA.agents);
  if (new Set(side).size > 1) made.append(element("small", "faded kind", ` ${battle.kinds[unit]}`));
  made.title = battle.kinds[unit];
  return made;
}

/** Chips of the agents; `choose` is called with the number of the clicked one. */
function showAgents(battle, choose) {
  const chips = [];
  for (let agent = 0; agent < DATA.agents; agent++) {
    const chip = element("button", "", String(agent));
    chip.type = "button";
    chip.title = nameOf(agent) + (battle.kinds[agent] ? `, ${battle.kinds[agent]}` : "");
    chip.addEventListener("click", () => choose(agent));
    chips.push(chip);
  }
  byId("agents").replaceChildren(...chips);
}

function showAgent(state, frame) {
  const { battle, agent } = state;
  const name = nameOf(agent) + (battle.kinds[agent] ? `, ${battle.kinds[agent]}` : "");
  [...byId("agents").children].forEach((chip, number) => {
    chip.setAttribute("aria-pressed", String(number === agent));
    chip.classList.toggle("dead", !battle.alive(frame, number));
  });
  byId("policy").replaceChildren(...choices(state, frame));
  if (!DATA.engine) {
    byId("agent-facts").textContent = `${name}: ${battle.alive(frame, agent) ? "takes part" : "out of the battle"}`;
    return;
  }
  const shield = battle.shield[agent] > 0
    ? `, shield ${battle.shields(frame, agent).toFixed(0)} of ${battle.shield[agent]}` : "";
  const life = battle.alive(frame, agent)
    ? `health ${battle.health(frame, agent).toFixed(0)} of ${battle.hp[agent]}${shield}` : "dead";
  byId("agent-facts").textContent = `${name}: ${life}`;
}

/** The likeliest actions with their probabilities; the action that was taken is bold. */
function choices(state, frame) {
  const { battle, agent } = state;
  if (frame >= battle.steps || !battle.alive(frame, agent)) return [];
  const taken = battle.action(frame, agent);
  const view = battle.views[agent];
  if (!view) return [element("p", "note", `takes: ${actionName(battle, agent, taken)}`)];
  const count = view.policyShape[1];
  const row = [...view.policy.subarray(frame * count, (frame + 1) * count)];
  const shares = row.map((share, action) => [share / 100, action]);
  shares.sort((one, other) => other[0] - one[0] || one[1] - other[1]);
  const shown = shares.slice(0, 4).filter(([share]) => share > 0);
  if (!shown.some(([, action]) => action === taken)) shown.push(shares.find(([, action]) => action === taken));
  return shown.map(([share, action]) => {
    const row = element("div", action === taken ? "choice taken" : "choice");
    const rail = element("span");
    const bar = element("i");
    bar.style.width = `${100 * share}%`;
    rail.append(bar);
    row.append(element("b", "", actionName(battle, agent, action)), rail, element("em", "number", percent(share)));
    return row;
  });
}

/** Why an agent has no belief at a frame; empty if it has one. */
function silence(state, frame) {
  const { battle, agent } = state;
  if (!battle.views[agent]) {
    return `The page holds no belief of agent ${agent}, to stay below 1 MB; --agent ${agent} writes a page that does.`;
  }
  if (!battle.alive(frame, agent)) return `The agent is ${DATA.engine ? "dead" : "out"}: it sees nothing any more.`;
  if (frame >= battle.steps) return "The battle is over: the agent acts no more.";
  return "";
}

function showBelief(state, frame) {
  const { battle, agent } = state;
  const why = silence(state, frame);
  byId("belief-note").textContent = why || (DATA.engine
    ? "Its last observation, and what its decoder makes of its latent state."
    : "Blue: its last observation. Violet: what its decoder makes of its latent state.");
  if (why) {
    byId("belief").replaceChildren();
    return;
  }
  if (!DATA.engine) {
    byId("belief").replaceChildren(numbersNow(battle, agent, frame));
    return;
  }
  const rows = battle.agents[agent].units.map((unit, place) => beliefRow(battle, agent, unit, place, frame));
  rows.unshift(ownRow(battle, agent, frame));
  const heads = [["unit"], ["sees"], ["miss in cells", "right"], ["health"]];
  if (battle.shield.some((most) => most > 0)) heads.push(["shield"]);
  const scroll = element("div", "scroll");
  scroll.append(table(heads, rows));
  byId("belief").replaceChildren(scroll);
}

function ownRow(battle, agent, frame) {
  const row = element("tr");
  const own = battle.views[agent].own;
  cell(row, unitCell(battle, agent));
  cell(row, "itself", "faded");
  cell(row, "");
  cell(row, meter(battle.health(frame, agent) / battle.hp[agent], Math.max(0, own[2 * frame] / 100), COLOURS.ally));
  if (battle.shield.some((most) => most > 0)) {
    const [real, guess] = [battle.shields(frame, agent) / battle.shield[agent], Math.max(0, own[2 * frame + 1] / 100)];
    cell(row, battle.shield[agent] > 0 ? meter(real, guess, COLOURS.shield) : "");
  }
  return row;
}

function beliefRow(battle, agent, unit, place, frame) {
  const row = element("tr");
  const seen = viewed(battle, agent, "seen", frame, place);
  const belief = viewed(battle, agent, "believed", frame, place);
  const colour = unit < DATA.agents ? COLOURS.ally : COLOURS.enemy;
  cell(row, unitCell(battle, unit));
  if (seen && !belief) cell(row, "yes, believes no", "wrong");
  else if (!seen && belief) cell(row, "no, believes yes", "wrong");
  else cell(row, seen ? "yes" : battle.alive(frame, unit) ? "no" : "dead", seen ? "" : "faded");
  const miss = seen && belief ? Math.hypot(seen.east - belief.east, seen.north - belief.north) : null;
  cell(row, miss === null ? "" : miss.toFixed(1), "right");
  const bars = (name, paint) => {
    if (!seen && !belief) return "";
    return meter(seen ? seen[name] : null, belief ? belief[name] : null, paint);
  };
  cell(row, bars("health", colour));
  if (battle.shield.some((most) => most > 0)) cell(row, battle.shield[unit] > 0 ? bars("shield", COLOURS.shield) : "");
  return row;
}

/** Mean miss in cells of the imagined places at a horizon, and of the present ones; null if no unit is comparable. */
function missNow(battle, agent, frame, ahead) {
  if (frame + ahead > battle.steps || !battle.alive(frame + ahead, agent)) return null;
  let [model, still, count] = [0, 0, 0];
  battle.agents[agent].units.forEach((unit, place) => {
    const now = viewed(battle, agent, "seen", frame, place);
    const later = viewed(battle, agent, "seen", frame + ahead, place);
    const ghost = imagined(battle, agent, frame, ahead, place);
    if (!now || !later || !ghost) return;
    model += Math.hypot(ghost.east - later.east, ghost.north - later.north);
    still += Math.hypot(now.east - later.east, now.north - later.north);
    count += 1;
  });
  return count ? { model: model / count, still: still / count } : null;
}

function showFuture(state, frame) {
  const { battle, agent, ahead } = state;
  byId("ahead-value").textContent = String(ahead);
  const why = silence(state, frame);
  const errors = battle.agents[agent].errors;
  if (!errors) {
    byId("future-note").textContent = why;
    byId("charts").replaceChildren();
    byId("future").replaceChildren();
    return;
  }
  byId("future-note").textContent = why || (DATA.engine ? missedCells : missedNumbers)(battle, agent, frame, ahead);
  const title = DATA.engine ? "Whole observation: root of the mean squared error" : "Root of the mean squared error";
  const charts = [chart(title, errors.features, errors.still_features, ahead)];
  if (DATA.engine) charts.unshift(chart("Places: mean miss in cells", errors.cells, errors.still_cells, ahead));
  byId("charts").replaceChildren(...charts);
  const numbers = DATA.engine || why ? null : numbersAhead(battle, agent, frame, ahead);
  byId("future").replaceChildren(...(numbers ? [numbers] : []));
}

/** How far the ghosts of this step are off. */
function missedCells(battle, agent, frame, ahead) {
  const now = missNow(battle, agent, frame, ahead);
  if (!now) return "No unit in sight can be compared this far ahead.";
  return `From this step: the ghosts miss by ${now.model.toFixed(2)} cells; if nothing moved: ${now.still.toFixed(2)}.`;
}

function missedNumbers(battle, agent, frame, ahead) {
  const now = numbersMiss(battle, agent, frame, ahead);
  if (!now) return "The agent did not live to see this step.";
  return `From this step: ${percent(now.model)} of their ranges off; if nothing changed: ${percent(now.still)}.`;
}

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

/** A small chart of two errors over the horizon, with the chosen horizon marked. */
function chart(title, model, still, ahead) {
  const [width, height, left, base] = [260, 130, 34, 108];
  const most = Math.max(0.001, ...model.filter((v) => v !== null), ...still.filter((v) => v !== null)) * 1.08;
  const x = (h) => left + ((width - left - 8) * (h - 1)) / Math.max(1, model.length - 1);
  const y = (value) => base - ((base - 10) * value) / most;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const part of [0, 0.5, 1]) {
    const value = (part * most) / 1.08;
    picture.append(svg("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value), stroke: "#e6e9ee" }));
    const place = { x: left - 5, y: y(value) + 4, "text-anchor": "end" };
    picture.append(svg("text", { ...place, ...SMALL }, value ? value.toPrecision(2) : "0"));
  }
  const mark = { x1: x(ahead), x2: x(ahead), y1: 8, y2: base };
  picture.append(svg("line", { ...mark, stroke: "#c4cbd4", "stroke-dasharray": "3 3" }));
  for (const [values, colour] of [[still, COLOURS.still], [model, COLOURS.ghost]]) {
    const points = values.map((v, k) => (v === null ? null : [x(k + 1), y(v)])).filter((point) => point);
    const way = points.map((point) => point.join()).join(" ");
    picture.append(svg("polyline", { points: way, fill: "none", stroke: colour, "stroke-width": 2.2 }));
    const value = values[ahead - 1];
    if (value === null) continue;
    picture.append(svg("circle", { cx: x(ahead), cy: y(value), r: 3.6, fill: colour }));
    const late = ahead > model.length / 2;
    const higher = value >= (values === model ? still : model)[ahead - 1];
    const place = { x: x(ahead) + (late ? -6 : 6), y: y(value) + (higher ? -6 : 14), "text-anchor": late ? "end" : "start" };
    picture.append(svg("text", { ...place, ...SMALL, fill: colour, "font-weight": 600 }, value.toPrecision(2)));
  }
  for (const h of [1, model.length]) {
    const place = { x: x(h), y: base + 15, "text-anchor": h === 1 ? "start" : "end" };
    picture.append(svg("text", { ...place, ...SMALL }, h === 1 ? "1 step ahead" : String(h)));
  }
  const figure = element("figure");
  figure.append(element("figcaption", "", title), picture);
  return figure;
}

/** The segments of the chosen agent; a click on one leads to its first step. */
function showSharing(state, seek) {
  const { battle, agent } = state;
  const own = battle.segments.filter((segment) => segment.agent === agent);
  const sum = (found) => found.reduce((total, segment) => total + segment.bytes, 0);
  const sent = (found) => found.filter((segment) => segment.fate === "sent");
  const all = battle.segments;
  const part = `${sent(own).length} of ${own.length} segments, ${kilobytes(sum(sent(own)))} of ${kilobytes(sum(own))}`;
  const totals = all.length ? ` Agent ${agent} sends ${part}.` : "";
  byId("sharing-note").textContent = DATA.sharing + totals;
  const names = own.length ? Object.keys(own[0].losses) : [];
  const most = Object.fromEntries(names.map((name) => [name, Math.max(...all.map((found) => found.losses[name]))]));
  const scored = own.some((segment) => segment.z !== null);
  const rows = own.map((segment) => {
    const row = element("tr");
    row.dataset.first = segment.first;
    row.dataset.last = segment.last;
    row.tabIndex = 0;
    row.title = "Go to the first step of this segment";
    cell(row, `${segment.first}\u2013${segment.last}`);
    cell(row, segment.bytes.toLocaleString("en"), "right");
    for (const name of names) {
      const loss = element("span", "loss", segment.losses[name].toFixed(3));
      loss.style.setProperty("--share", `${100 * Math.max(0, segment.losses[name] / (most[name] || 1))}%`);
      cell(row, loss, segment.winner === name ? "right wrong" : segment.largest === name ? "right largest" : "right");
    }
    const reason = segment.winner ? ` by ${LOSSES[segment.winner]}` : "";
    cell(row, element("span", `fate ${segment.fate.replace(" ", "-")}`, segment.fate + reason));
    if (scored) {
      const z = segment.z === null ? "" : `${segment.z.toFixed(1)} / ${segment.needed.toFixed(1)}`;
      cell(row, z, segment.z === null ? "right" : segment.z >= segment.needed ? "right wrong" : "right faded");
      row.title += z && `. Largest z-score: ${LOSSES[segment.largest]} ${segment.z}; needed for an offer: ${segment.needed}`;
    }
    row.addEventListener("click", () => seek(segment.first));
    row.addEventListener("keydown", (event) => event.key === "Enter" && seek(segment.first));
    return row;
  });
  const heads = [["steps"], ["bytes", "right"], ...names.map((name) => [LOSSES[name], "right"]), [""]];
  if (scored) heads.push(["z / needed", "right"]);
  const scroll = element("div", "scroll");
  if (own.length) scroll.append(table(heads, rows));
  byId("sharing").replaceChildren(scroll);
}

function markSegment(frame) {
  for (const row of byId("sharing").querySelectorAll("tr[data-first]")) {
    row.classList.toggle("now", row.dataset.first <= frame && frame <= Number(row.dataset.last));
  }
}
