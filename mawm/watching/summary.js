// The line of facts above the field: how the battle ended, and for the chosen agent belief, imagination and broadcasts.

/** Mean distance in cells of believed from real places over a battle; null if nothing can be compared. */
function beliefMiss(battle, agent) {
  let [total, count] = [0, 0];
  for (let frame = 0; frame < battle.steps; frame++) {
    if (!battle.alive(frame, agent)) break;
    battle.agents[agent].units.forEach((unit, place) => {
      const seen = viewed(battle, agent, "seen", frame, place);
      const belief = viewed(battle, agent, "believed", frame, place);
      if (!seen || !belief) return;
      total += Math.hypot(seen.east - belief.east, seen.north - belief.north);
      count += 1;
    });
  }
  return count ? total / count : null;
}

/** Mean distance of believed from real numbers over a battle, in shares of their ranges. */
function numberMiss(battle, agent) {
  let [total, count] = [0, 0];
  for (let frame = 0; frame < battle.steps && battle.alive(frame, agent); frame++) {
    for (let k = 0; k < battle.agents[agent].places.length; k++) {
      total += Math.abs(
        numberIn(battle, agent, "real", frame, k).share - numberIn(battle, agent, "decoded", frame, k).share);
      count += 1;
    }
  }
  return count ? total / count : null;
}

function tile(name, value, note, kind = "") {
  const made = element("div", `tile ${kind}`);
  made.append(element("span", "name", name), element("b", "number", value), element("span", "note", note));
  return made;
}

function endTile(battle) {
  const kind = battle.end === "won" ? "good" : battle.end === "lost" ? "bad" : "";
  const more = DATA.engine ? deathsIn(battle) : `return ${battle.returns[battle.steps].toFixed(2)}`;
  return tile("This battle", battle.end, `${battle.steps} steps · ${more}`, kind);
}

function deathsIn(battle) {
  const dead = [0, 0];
  for (let unit = 0; unit < battle.units; unit++) {
    if (!battle.alive(battle.steps, unit)) dead[unit < DATA.agents ? 0 : 1] += 1;
  }
  return `lost ${dead[0]} of ${DATA.agents}, killed ${dead[1]} of ${battle.units - DATA.agents}`;
}

function beliefTile(battle, agent) {
  if (!battle.views[agent]) return tile(`Belief of agent ${agent}`, "-", "not in this page");
  const miss = DATA.engine ? beliefMiss(battle, agent) : numberMiss(battle, agent);
  const value = miss === null ? "-" : DATA.engine ? `${miss.toFixed(2)} cells off` : `${percent(miss)} off`;
  const note = DATA.engine ? "mean over seen units and steps" : "mean, in parts of each number's range";
  return tile(`Belief of agent ${agent}`, value, note);
}

/** The error of the imagined future beside that of the baseline, at the chosen horizon. */
function futureTile(battle, agent, ahead) {
  const errors = battle.agents[agent].errors;
  const name = `Imagined ${ahead} ${ahead === 1 ? "step" : "steps"} ahead`;
  const found = errors ? (DATA.engine ? ["cells", "still_cells"] : ["features", "still_features"]) : null;
  const [model, still] = found ? found.map((kind) => errors[kind][ahead - 1]) : [null, null];
  if (model === null || still === null) return tile(name, "-", "nothing to compare");
  const unit = DATA.engine ? " cells" : "";
  const less = still > 0 ? (still - model) / still : 0;
  const verdict = still > 0 ? `${percent(Math.abs(less))} ${less >= 0 ? "less" : "more"} error` : "nothing moves";
  return tile(
    name, verdict, `${model.toFixed(2)}${unit}; if nothing ${DATA.engine ? "moved" : "changed"} ${still.toFixed(2)}`,
    still > 0 ? (less > 0.02 ? "good" : less < -0.02 ? "bad" : "") : "",
  );
}

/** How near the segments came to an offer. */
function nearest(battle) {
  const scored = battle.segments.filter((segment) => segment.z !== null);
  if (!scored.length) return "";
  const best = scored.reduce((one, other) => (other.z - other.needed > one.z - one.needed ? other : one));
  return ` · nearest: ${LOSSES[best.largest]}, z ${best.z.toFixed(1)} of ${best.needed.toFixed(1)}`;
}

function sentTile(battle) {
  const sent = battle.segments.filter((segment) => segment.fate === "sent");
  if (!battle.segments.length) return tile("Broadcast", "nothing", "this method sends no experience");
  const sum = (found) => found.reduce((total, segment) => total + segment.bytes, 0);
  const reasons = [...new Set(sent.map((segment) => LOSSES[segment.winner]).filter((name) => name))];
  const why = reasons.length ? ` · by ${reasons.join(", ")}` : sent.length ? "" : nearest(battle);
  return tile(
    "Broadcast by the team", sent.length ? `${sent.length} of ${battle.segments.length} segments` : "nothing",
    `${kilobytes(sum(sent))} of ${kilobytes(sum(battle.segments))}${why}`, sent.length ? "told" : "",
  );
}

function showSummary(state) {
  const { battle, agent, ahead } = state;
  const tiles = [endTile(battle)];
  if (DATA.model) tiles.push(beliefTile(battle, agent), futureTile(battle, agent, ahead), sentTile(battle));
  byId("summary").replaceChildren(...tiles);
}
