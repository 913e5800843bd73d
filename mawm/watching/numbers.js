// Beliefs and futures of environments whose observations are plain numbers: nothing is known about their meaning.

/** A number of a view (real, decoded, future) at an index, as a share of its range and as a value. */
function numberIn(battle, agent, name, index, place) {
  const facts = battle.agents[agent];
  const count = facts.places.length;
  const array = battle.views[agent][name];
  const half = array instanceof Int16Array ? 32767 : 127;
  const share = (array[index * count + place] + half) / (2 * half);
  return { share, value: facts.low[place] + share * (facts.high[place] - facts.low[place]) };
}

const futureIn = (battle, agent, step, ahead, place) =>
  numberIn(battle, agent, "future", step * DATA.horizon + ahead - 1, place);

/** A rail with marks at shares of a number's range. */
function rail(marks, title) {
  const made = element("div", "rail");
  for (const [kind, share] of marks) {
    const mark = element("i", kind);
    mark.style.left = `${100 * Math.max(0, Math.min(1, share))}%`;
    made.append(mark);
  }
  made.title = title;
  return made;
}

const short = (value) =>
  Math.abs(value) >= 1000 ? value.toPrecision(4) : Math.abs(value) < 0.005 ? "0.00" : value.toFixed(2);

function numbersTable(battle, agent, heads, cells) {
  const rows = battle.agents[agent].places.map((place, k) => {
    const row = element("tr");
    cell(row, `no. ${place}`, "faded");
    cells(k).forEach(([content, kind]) => cell(row, content, kind ?? ""));
    return row;
  });
  const scroll = element("div", "scroll");
  scroll.append(table([["number"], ...heads], rows));
  return scroll;
}

/** The observed and the decoded numbers of the present arrival. */
function numbersNow(battle, agent, frame) {
  return numbersTable(battle, agent, [["lowest to highest of this battle"], ["real", "right"], ["believed", "right"]], (k) => {
    const [real, guess] = [numberIn(battle, agent, "real", frame, k), numberIn(battle, agent, "decoded", frame, k)];
    const title = `real ${short(real.value)}, believed ${short(guess.value)}`;
    return [
      [rail([["true", real.share], ["guess", guess.share]], title), "wide"],
      [short(real.value), "right"], [short(guess.value), "right"],
    ];
  });
}

/** Present, imagined and real numbers some steps ahead; null if the agent did not live to see it. */
function numbersAhead(battle, agent, frame, ahead) {
  if (frame + ahead > battle.steps || !battle.alive(frame + ahead, agent)) return null;
  const heads = [["grey: now, violet: imagined, blue: what came"], ["imagined", "right"], ["came", "right"]];
  return numbersTable(battle, agent, heads, (k) => {
    const [now, came] = [frame, frame + ahead].map((index) => numberIn(battle, agent, "real", index, k));
    const guess = futureIn(battle, agent, frame, ahead, k);
    const title = `now ${short(now.value)}, imagined ${short(guess.value)}, came ${short(came.value)}`;
    return [
      [rail([["now", now.share], ["true", came.share], ["guess", guess.share]], title), "wide"],
      [short(guess.value), "right"], [short(came.value), "right"],
    ];
  });
}

/** Mean distance of imagined and of present numbers from those that came, in shares of their ranges; null if none. */
function numbersMiss(battle, agent, frame, ahead) {
  if (frame + ahead > battle.steps || !battle.alive(frame + ahead, agent)) return null;
  let [model, still] = [0, 0];
  const count = battle.agents[agent].places.length;
  for (let k = 0; k < count; k++) {
    const [now, came] = [frame, frame + ahead].map((index) => numberIn(battle, agent, "real", index, k).share);
    model += Math.abs(futureIn(battle, agent, frame, ahead, k).share - came) / count;
    still += Math.abs(now - came) / count;
  }
  return { model, still };
}
