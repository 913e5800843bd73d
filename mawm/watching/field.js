// Draws the field: ground, sight, units with health and shield, attacks, beliefs and imagined futures.

const COLOURS = {
  ally: "#1f6fd6", enemy: "#d1541f", ghost: "#8b3fc9", heal: "#1b8f4d", shield: "#38b6d8", ink: "#1c2430",
  still: "#8a94a3",
};
const TAU = 2 * Math.PI;

const colourOf = (unit) => (unit < DATA.agents ? COLOURS.ally : COLOURS.enemy);

/** A canvas's context, sized for the screen's pixels; width and height in CSS pixels. */
function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

/** The part of the map, in cells, in which a battle happens. */
function extentOf(battle) {
  let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let k = 0; k < battle.arrays.x.length; k++) {
    west = Math.min(west, battle.arrays.x[k] / 100);
    east = Math.max(east, battle.arrays.x[k] / 100);
    south = Math.min(south, battle.arrays.y[k] / 100);
    north = Math.max(north, battle.arrays.y[k] / 100);
  }
  return { west: west - 2.5, east: east + 2.5, south: south - 2.5, north: north + 2.5 };
}

/** Functions from cells to pixels for a part of the map that fits into the canvas. */
function projection(extent, width, height) {
  const scale = Math.min(width / (extent.east - extent.west), height / (extent.north - extent.south));
  const left = width / 2 - (scale * (extent.west + extent.east)) / 2;
  const base = height / 2 + (scale * (extent.south + extent.north)) / 2;
  return { scale, x: (cells) => left + cells * scale, y: (cells) => base - cells * scale };
}

function circle(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, TAU);
}

function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

function drawGround(pen, at) {
  const { x, y, scale } = at;
  const size = DATA.terrain.length;
  pen.fillStyle = "#f6f7f3";
  pen.fillRect(x(0), y(size), size * scale, size * scale);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const sign = DATA.terrain[row][column];
      if (sign === ".") continue;
      pen.fillStyle = sign === "^" ? "#c9c4b4" : "#b3bac2";
      pen.fillRect(x(column), y(row + 1), scale + 0.5, scale + 0.5);
    }
  }
  pen.strokeStyle = "rgba(28, 36, 48, 0.06)";
  pen.lineWidth = 1;
  for (let k = 0; k <= size; k += 2) {
    line(pen, x(k), y(0), x(k), y(size));
    line(pen, x(0), y(k), x(size), y(k));
  }
}

/** The place of a unit at a time between two frames. */
function placeOf(battle, unit, time) {
  const frame = Math.min(Math.floor(time), battle.steps);
  const next = Math.min(frame + 1, battle.steps);
  const part = battle.alive(next, unit) ? time - frame : 0;
  return {
    x: battle.x(frame, unit) * (1 - part) + battle.x(next, unit) * part,
    y: battle.y(frame, unit) * (1 - part) + battle.y(next, unit) * part,
  };
}

function drawSight(pen, at, battle, agent, time) {
  const { x, y } = placeOf(battle, agent, time);
  const facts = battle.agents[agent];
  circle(pen, at.x(x), at.y(y), facts.sight * at.scale);
  pen.fillStyle = "rgba(31, 111, 214, 0.06)";
  pen.fill();
  pen.strokeStyle = "rgba(31, 111, 214, 0.45)";
  pen.lineWidth = 1.2;
  pen.setLineDash([6, 5]);
  pen.stroke();
  circle(pen, at.x(x), at.y(y), facts.reach * at.scale);
  pen.strokeStyle = "rgba(31, 111, 214, 0.3)";
  pen.setLineDash([1, 4]);
  pen.stroke();
  pen.setLineDash([]);
}

/** Dotted: whom a unit aims at. Solid: hits of the last step, which fade. */
function drawAttacks(pen, at, battle, time) {
  const frame = Math.min(Math.floor(time), battle.steps);
  pen.setLineDash([2, 4]);
  pen.lineWidth = 1;
  for (let unit = 0; unit < battle.units; unit++) {
    const target = battle.aim(frame, unit);
    if (target < 0 || !battle.alive(frame, unit) || !battle.alive(frame, target)) continue;
    const [from, to] = [placeOf(battle, unit, time), placeOf(battle, target, time)];
    pen.strokeStyle = colourOf(unit);
    pen.globalAlpha = 0.45;
    line(pen, at.x(from.x), at.y(from.y), at.x(to.x), at.y(to.y));
  }
  pen.setLineDash([]);
  const hits = battle.arrays.hits;
  for (let k = 0; k < hits.length; k += 5) {
    const [step, kind, source, target] = [hits[k], hits[k + 1], hits[k + 2], hits[k + 3]];
    const age = time - (step + 1);
    if (age < -0.999 || age >= 0.999 || source < 0) continue;
    const [from, to] = [placeOf(battle, source, time), placeOf(battle, target, time)];
    pen.globalAlpha = Math.max(0, 1 - Math.abs(age));
    pen.strokeStyle = kind === 1 ? COLOURS.heal : colourOf(source);
    pen.lineWidth = 2.4;
    line(pen, at.x(from.x), at.y(from.y), at.x(to.x), at.y(to.y));
  }
  pen.globalAlpha = 1;
}

function radiusOf(battle, unit, at) {
  return Math.max(battle.radius[unit] * at.scale, at.scale > 16 ? 9 : 6.5);
}

function drawDead(pen, at, battle, unit, time) {
  const { x, y } = placeOf(battle, unit, time);
  const [px, py, arm] = [at.x(x), at.y(y), 5];
  pen.strokeStyle = colourOf(unit);
  pen.globalAlpha = 0.45;
  pen.lineWidth = 2;
  line(pen, px - arm, py - arm, px + arm, py + arm);
  line(pen, px - arm, py + arm, px + arm, py - arm);
  pen.globalAlpha = 1;
}

function arc(pen, x, y, radius, share, colour, width) {
  pen.beginPath();
  pen.arc(x, y, radius, -TAU / 4, -TAU / 4 + TAU * Math.min(1, share));
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
}

function drawUnit(pen, at, battle, unit, time, chosen) {
  const frame = Math.min(Math.floor(time), battle.steps);
  const { x, y } = placeOf(battle, unit, time);
  const [px, py, radius] = [at.x(x), at.y(y), radiusOf(battle, unit, at)];
  if (chosen) {
    circle(pen, px, py, radius + 8);
    pen.strokeStyle = COLOURS.ink;
    pen.lineWidth = 2;
    pen.stroke();
  }
  circle(pen, px, py, radius + 3);
  pen.fillStyle = "#fff";
  pen.fill();
  circle(pen, px, py, radius - 0.5);
  pen.fillStyle = colourOf(unit);
  pen.globalAlpha = 0.28 + 0.72 * (battle.health(frame, unit) / battle.hp[unit]);
  pen.fill();
  pen.globalAlpha = 1;
  arc(pen, px, py, radius + 1.5, 1, "#dfe3e8", 3);
  arc(pen, px, py, radius + 1.5, battle.health(frame, unit) / battle.hp[unit], colourOf(unit), 3);
  if (battle.shield[unit] > 0) {
    arc(pen, px, py, radius + 4.5, battle.shields(frame, unit) / battle.shield[unit], COLOURS.shield, 2.2);
  }
  const text = unit < DATA.agents ? String(unit) : battle.kinds[unit][0].toUpperCase();
  pen.font = `600 ${Math.round(Math.max(10, Math.min(radius * 1.05, 15)))}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = "rgba(28, 36, 48, 0.55)";
  pen.strokeText(text, px, py + 0.5);
  pen.fillStyle = "#fff";
  pen.fillText(text, px, py + 0.5);
}

/** Rings where the agent believes the other units to be now. */
function drawBelief(pen, at, battle, agent, frame) {
  pen.strokeStyle = COLOURS.ghost;
  pen.lineWidth = 1.8;
  battle.agents[agent].units.forEach((unit, place) => {
    const belief = viewed(battle, agent, "believed", frame, place);
    if (!belief) return;
    const [px, py] = [at.x(battle.x(frame, agent) + belief.east), at.y(battle.y(frame, agent) + belief.north)];
    pen.setLineDash([4, 3]);
    circle(pen, px, py, radiusOf(battle, unit, at) + 6);
    pen.stroke();
    pen.setLineDash([]);
  });
}

/** Ghosts: the imagined places of the next steps, drawn around the agent's real places, over the units' real ways. */
function drawFuture(pen, at, battle, agent, frame, ahead) {
  battle.agents[agent].units.forEach((unit, place) => {
    const [real, ghosts] = [[], []];
    for (let h = 1; h <= ahead && frame + h <= battle.steps; h++) {
      const arrival = frame + h;
      if (!battle.alive(arrival, agent)) break;
      if (battle.alive(arrival, unit)) real.push([battle.x(arrival, unit), battle.y(arrival, unit)]);
      const ghost = imagined(battle, agent, frame, h, place);
      if (ghost) ghosts.push([battle.x(arrival, agent) + ghost.east, battle.y(arrival, agent) + ghost.north]);
    }
    if (real.length && battle.alive(frame, unit)) real.unshift([battle.x(frame, unit), battle.y(frame, unit)]);
    drawWay(pen, at, real, colourOf(unit), unit, battle, false);
    drawWay(pen, at, ghosts, COLOURS.ghost, unit, battle, true);
  });
}

function drawWay(pen, at, points, colour, unit, battle, ghost) {
  if (!points.length) return;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = ghost ? 1.5 : 2.5;
  pen.globalAlpha = ghost ? 0.8 : 0.35;
  pen.beginPath();
  points.forEach(([x, y], k) => (k ? pen.lineTo(at.x(x), at.y(y)) : pen.moveTo(at.x(x), at.y(y))));
  pen.stroke();
  const [x, y] = points[points.length - 1];
  if (ghost) {
    for (const [px, py] of points) {
      circle(pen, at.x(px), at.y(py), 2);
      pen.fill();
    }
    circle(pen, at.x(x), at.y(y), radiusOf(battle, unit, at));
    pen.globalAlpha = 0.22;
    pen.fill();
    pen.globalAlpha = 0.9;
    pen.stroke();
  } else {
    circle(pen, at.x(x), at.y(y), radiusOf(battle, unit, at));
    pen.globalAlpha = 0.5;
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

/** Draws the field of a state; returns the projection, by which clicks find units. */
function drawField(canvas, state) {
  const { pen, width, height } = prepared(canvas);
  const { battle, agent, time, layers } = state;
  const whole = { west: 0, east: DATA.terrain.length, south: 0, north: DATA.terrain.length };
  const at = projection(layers.whole ? whole : state.extent, width, height);
  const frame = Math.min(Math.floor(time), battle.steps);
  drawGround(pen, at);
  const chosenLives = battle.alive(frame, agent);
  if (layers.sight && chosenLives) drawSight(pen, at, battle, agent, time);
  for (let unit = 0; unit < battle.units; unit++) if (!battle.alive(frame, unit)) drawDead(pen, at, battle, unit, time);
  const acts = battle.views[agent] && chosenLives && frame < battle.steps;
  if (acts && layers.future) drawFuture(pen, at, battle, agent, frame, state.ahead);
  drawAttacks(pen, at, battle, time);
  for (let unit = battle.units - 1; unit >= 0; unit--) {
    if (battle.alive(frame, unit)) drawUnit(pen, at, battle, unit, time, unit === agent);
  }
  if (acts && layers.belief) drawBelief(pen, at, battle, agent, frame);
  return at;
}
