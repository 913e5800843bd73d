"use strict";
// Reads the page's data: a JSON text whose larger arrays are compressed and in base64 (packed.py).

const ARRAYS = { uint8: Uint8Array, int8: Int8Array, int16: Int16Array, float32: Float32Array };
const UNSEEN = -128;
const NAMES = ["no-op", "stop", "north", "south", "east", "west"];
const DATA = JSON.parse(document.getElementById("data").textContent);

/** The arrays of a packed text by name, each with its shape. */
async function unpack(stored) {
  const bytes = Uint8Array.from(atob(stored.data), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const found = {};
  let at = 0;
  for (const [name, kind, shape] of stored.arrays) {
    const count = shape.reduce((product, size) => product * size, 1);
    const array = new ARRAYS[kind](buffer, at, count);
    found[name] = array;
    found[name + "Shape"] = shape;
    at += Math.ceil(array.byteLength / 4) * 4;
  }
  return found;
}

/** A battle with its arrays, and readers of single numbers in the units of the engine. */
async function openBattle(stored) {
  const arrays = await unpack(stored.field);
  const views = await Promise.all(stored.agents.map((agent) => (agent.view ? unpack(agent.view) : null)));
  const units = stored.kinds.length;
  const agents = DATA.agents;
  const returns = [0];
  for (const reward of arrays.reward) returns.push(returns[returns.length - 1] + reward);
  const of = (array, unit) => (frame, u) => array[frame * units + u] / unit;
  const common = {
    ...stored, arrays, views, units, returns,
    action: (step, agent) => arrays.actions[step * agents + agent],
  };
  if (!DATA.engine) {
    const pictures = await openPictures(stored.pictures);
    return { ...common, pictures, alive: (frame, u) => arrays.alive[frame * agents + u] > 0 };
  }
  return {
    ...common,
    x: of(arrays.x, 100), y: of(arrays.y, 100), health: of(arrays.hp, 10), shields: of(arrays.shield, 10),
    aim: of(arrays.aim, 1),
    alive: (frame, u) => arrays.hp[frame * units + u] > 0,
  };
}

/** The name of a unit. */
function nameOf(unit) {
  return unit < DATA.agents ? `agent ${unit}` : `enemy ${unit - DATA.agents}`;
}

/** The name of an agent's action. */
function actionName(battle, agent, action) {
  if (!DATA.engine) return `action ${action}`;
  if (action < NAMES.length) return NAMES[action];
  const target = action - NAMES.length;
  return battle.heals[agent] ? `heal agent ${target}` : `attack enemy ${target}`;
}

/**
 * What a view (seen, believed, imagined) holds of the unit at a place of an agent's list; null if it is out of sight.
 * Offsets are in cells from the agent, health and shield are shares.
 */
function viewed(battle, agent, name, index, place) {
  const array = battle.views[agent][name];
  const shape = battle.views[agent][name + "Shape"];
  const width = shape[shape.length - 1];
  const at = (index * battle.agents[agent].units.length + place) * width;
  if (array[at] === UNSEEN) return null;
  const sight = battle.agents[agent].sight;
  return {
    east: (array[at] / 100) * sight, north: (array[at + 1] / 100) * sight,
    health: Math.max(0, array[at + 2] / 100), shield: width > 3 ? Math.max(0, array[at + 3] / 100) : 0,
  };
}

/** The same for the arrival that was imagined at `step`, `ahead` steps (1..H) later. */
function imagined(battle, agent, step, ahead, place) {
  return viewed(battle, agent, "imagined", step * DATA.horizon + ahead - 1, place);
}
