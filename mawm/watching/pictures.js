// Shows the pictures that an environment drew of itself, in place of the field.

/** The pictures of a battle, or null: pixels are numbers of colours, one picture after the other. */
async function openPictures(stored) {
  if (!stored || stored.why) return null;
  const { pixels } = await unpack(stored.packed);
  const { width, height } = stored;
  const size = width * height;
  for (let k = size; k < pixels.length; k++) pixels[k] ^= pixels[k - size]; // stored as differences
  const colours = Array.from({ length: 256 }, (_, k) => parseInt(stored.palette.slice(6 * k, 6 * k + 6), 16));
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  return { ...stored, pixels, size, colours, copy, count: pixels.length / size, shown: -1 };
}

/** The number of the picture that belongs to a frame. The last frame of a thinned battle may show an earlier one. */
function pictureAt(pictures, frame) {
  return Math.min(Math.floor(frame / pictures.every), pictures.count - 1);
}

/** Draws the picture of the present frame as large as it fits. */
function drawPicture(canvas, state) {
  const { pen, width, height } = prepared(canvas);
  const { pictures } = state.battle;
  const number = pictureAt(pictures, Math.min(Math.floor(state.time), state.battle.steps));
  if (number !== pictures.shown) {
    const ink = pictures.copy.getContext("2d");
    const image = ink.createImageData(pictures.width, pictures.height);
    for (let k = 0; k < pictures.size; k++) {
      const colour = pictures.colours[pictures.pixels[number * pictures.size + k]];
      image.data[4 * k] = colour >> 16;
      image.data[4 * k + 1] = (colour >> 8) & 255;
      image.data[4 * k + 2] = colour & 255;
      image.data[4 * k + 3] = 255;
    }
    ink.putImageData(image, 0, 0);
    pictures.shown = number;
  }
  const scale = Math.min(width / pictures.width, height / pictures.height);
  const [w, h] = [pictures.width * scale, pictures.height * scale];
  pen.imageSmoothingEnabled = scale < 3; // small pictures of grids stay sharp
  pen.drawImage(pictures.copy, (width - w) / 2, (height - h) / 2, w, h);
}

/** Shows the field, the pictures, or why there is neither. */
function showStage(battle) {
  const drawn = DATA.engine || battle.pictures !== null;
  byId("field").hidden = !drawn;
  byId("field").classList.toggle("pictures", !DATA.engine);
  byId("no-field").hidden = drawn;
  document.querySelectorAll(".with-engine").forEach((part) => (part.hidden = !DATA.engine));
  const stored = DATA.battles[Number(byId("battle").value)].pictures ?? {};
  byId("no-field").textContent = drawn ? "" : `No field is drawn: ${stored.why}.`;
  byId("picture-note").textContent = stored.note ?? "";
  byId("picture-note").hidden = !stored.note;
}
