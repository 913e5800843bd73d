"""The first battle of an evaluation, played again from its actions, as a GIF for the log."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from mawm.configs.train import TrainConfig

if TYPE_CHECKING:
    from mawm.filming.gif import Gif


def first_battle_of(config: TrainConfig, actions: Sequence[Sequence[int]]) -> "Gif":
    """The first battle of the evaluations of a run, with these joint actions (T, N).

    The battle is played in an environment of its own, so the evaluation and its random numbers are not touched.
    ValueError if the battle does not end with the last action, or if there is nothing to draw.
    """
    # The engine and Pillow load slowly, so only if a film is wanted.
    from mawm.filming.drawing import film_of
    from mawm.filming.gif import gif_of
    from mawm.filming.recording import RecordedBattles, recordable

    with closing(RecordedBattles(recordable(config, "eval"))) as battles:
        battles.reset()
        for joint in actions:
            if battles.finished is not None:
                break
            battles.step(np.array([joint], np.int64))
        if battles.finished is None or battles.finished.steps != len(actions):
            raise ValueError("played again with the same actions, the battle has another length: it is not repeatable")
        return gif_of(film_of(battles.finished, battles.env))


Write = Callable[[int, bytes, tuple[int, int]], None]
"""Takes environment steps, an animated GIF, and its width and height in pixels."""


class FirstBattles:
    """Gives `write` the first battle of every k-th evaluation (`schedule.eval_gif_every`).

    A battle that cannot be drawn does not stop the run: the reason goes to `warn`, and no further one is tried.
    """

    def __init__(self, config: TrainConfig, write: Write, warn: Callable[[str], None]) -> None:
        self.config, self.write, self.warn = config, write, warn
        self.failed = False

    def __call__(self, env_steps: int, actions: Sequence[Sequence[int]]) -> None:
        """Draw and write the battle of an evaluation at `env_steps`, if it is due."""
        schedule = self.config.schedule
        every = schedule.eval_gif_every
        if not every or self.failed or env_steps // schedule.eval_every % every:
            return
        try:
            gif = first_battle_of(self.config, actions)
        except (OSError, ValueError, RuntimeError) as error:
            self.failed = True
            self.warn(f"no film of the first battle of an evaluation (schedule.eval_gif_every {every}): {error}")
            return
        self.write(env_steps, gif.data, gif.size)
