"""Answers requests of the s2client protocol, as bytes, with a field of the embedded engine. No socket is needed."""

import math
import os
from collections import Counter
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from s2clientprotocol import error_pb2, raw_pb2
from s2clientprotocol import sc2api_pb2 as sc_pb

from mawm.envs.skirmish.field import ALLY, Field, FieldUnit
from mawm.envs.skirmish.units import units
from mawm.envs.standin.played_map import OWN_BASE, PlayedMap, pathing_bytes, played_map
from mawm.envs.standin.settings import GAME, Settings

BUILDS = {"4.10": ("4.10.0", 75689), "4.6.2": ("4.6.2", 69232), "5.0": ("5.0.3", 81433)}
"""Version of the rules -> number and build of that version of the game, which clients read from folder names."""
STOP, MOVE, ATTACK, HEAL = 4, 16, 23, 386
"""Numbers of the abilities that SMAC uses."""
TAG = 1 << 32
"""Added to the ids of `Field`, so that no client takes a tag for an index."""
SNAP = 1e-4
"""Cells. A goal arrives as float32; if it is this close to a whole number of cells from the unit, it means that number.

Without this, rounding would let battles of many units drift from those of the embedded engine within ten steps.
"""
HEIGHT = 127
"""Height of all terrain, of 255."""


class Game:
    """One game, from the creation by its client to the end of the process.

    The random number generator is seeded by the request that creates the game; `requests` counts all requests by name.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.requests: Counter[str] = Counter()
        self._status: Any = sc_pb.launched
        self._map: PlayedMap | None = None
        self._path = ""
        self._seed = 0
        self._field: Field | None = None
        self._kinds = units(self.settings.rules.version)

    def answer(self, message: bytes) -> bytes | None:
        """The answer to a request, both serialized; None if the client quits.

        A request that is unknown, damaged, or impossible now gets an answer whose field `error` says so.
        """
        response = sc_pb.Response()
        try:
            request = sc_pb.Request.FromString(message)
            name = request.WhichOneof("request")
            self.requests[str(name)] += 1
            if name == "quit":
                return None
            if request.HasField("id"):
                response.id = request.id
            method = getattr(self, f"_{name}", None)
            if name is None or method is None:
                raise ValueError(f"the stand-in has no answer to the request {name!r}")
            getattr(response, name).SetInParent()
            method(getattr(request, name), getattr(response, name))
        except DecodeError:
            response.error.append("the message is not a Request of the s2client protocol")
        except ValueError as error:
            response.error.append(str(error))
        response.status = self._status
        return bytes(response.SerializeToString())

    def _running(self) -> tuple[PlayedMap, Field]:
        if self._map is None or self._field is None:
            raise ValueError("no game is running: send create_game and join_game first")
        return self._map, self._field

    def _ping(self, request: Any, answer: Any) -> None:
        answer.game_version, answer.base_build = BUILDS[self.settings.rules.version]
        answer.data_version, answer.data_build = GAME, answer.base_build

    def _create_game(self, request: Any, answer: Any) -> None:
        self._field, self._map, self._status = None, None, sc_pb.launched
        self._seed = request.random_seed if request.HasField("random_seed") else int.from_bytes(os.urandom(4), "little")
        self._path = request.local_map.map_path
        try:
            self._map = played_map(self._path, request.local_map.map_data, self.settings)
        except ValueError as error:
            answer.error, answer.error_details = sc_pb.ResponseCreateGame.InvalidMapData, str(error)
            return
        self._status = sc_pb.init_game

    def _join_game(self, request: Any, answer: Any) -> None:
        if self._map is None or self._status != sc_pb.init_game:
            raise ValueError("there is no game to join: send create_game first")
        self._field = self._map.field(self._seed, self.settings)
        self._order = np.random.default_rng(self._seed)
        answer.player_id = ALLY
        self._status = sc_pb.in_game

    def _restart_game(self, request: Any, answer: Any) -> None:
        game_map, _ = self._running()
        self._field = game_map.field(self._seed, self.settings)

    def _leave_game(self, request: Any, answer: Any) -> None:
        self._field, self._map, self._status = None, None, sc_pb.launched

    def _game_info(self, request: Any, answer: Any) -> None:
        game_map, _ = self._running()
        answer.map_name, answer.local_map_path = game_map.spec.name, self._path
        for player, kind in ((1, sc_pb.Participant), (2, sc_pb.Computer)):
            answer.player_info.add(player_id=player, type=kind)
        answer.options.raw = True
        start, grid = answer.start_raw, game_map.spec.pathable
        width, height = grid.shape
        start.map_size.x, start.map_size.y = width, height
        start.playable_area.p0.x, start.playable_area.p0.y = 0, 0
        start.playable_area.p1.x, start.playable_area.p1.y = width, height
        bits = self.settings.faults.pathing_bits
        _image(start.pathing_grid, bits, width, height, pathing_bytes(grid, bits))
        _image(start.placement_grid, bits, width, height, pathing_bytes(np.zeros_like(grid), bits))
        _image(start.terrain_height, 8, width, height, bytes([HEIGHT]) * (width * height))

    def _observation(self, request: Any, answer: Any) -> None:
        game_map, field = self._running()
        answer.observation.game_loop = field.loops
        answer.observation.player_common.player_id = ALLY
        living = field.units()
        if self.settings.faults.shuffled:
            living = [living[i] for i in self._order.permutation(len(living))]
        for unit in living:
            self._write(unit, game_map.type_of(unit.kind, unit.owner), answer.observation.raw_data.units.add())

    def _write(self, unit: FieldUnit, number: int, out: Any) -> None:
        out.tag, out.unit_type, out.owner = TAG + unit.id, number, unit.owner
        out.alliance = raw_pb2.Self if unit.owner == ALLY else raw_pb2.Enemy
        out.display_type, out.build_progress = raw_pb2.Visible, 1.0
        out.pos.x, out.pos.y = unit.x, unit.y
        out.health, out.health_max = unit.health, unit.health_max
        out.shield, out.shield_max = unit.shield, unit.shield_max
        out.energy, out.energy_max = unit.energy, unit.energy_max
        kind = self._kinds[unit.kind]
        out.weapon_cooldown, out.radius, out.is_flying = unit.cooldown, kind.radius, kind.flies

    def _action(self, request: Any, answer: Any) -> None:
        _, field = self._running()
        for action in request.actions:
            orders = action.action_raw
            if not orders.HasField("unit_command"):
                answer.result.append(error_pb2.NotSupported)
                continue
            known = orders.unit_command.ability_id in (STOP, MOVE, ATTACK, HEAL)
            obeyed = [_obeys(field, orders.unit_command, tag - TAG) for tag in orders.unit_command.unit_tags]
            failure = error_pb2.Error if known else error_pb2.NotSupported
            answer.result.append(error_pb2.Success if obeyed and all(obeyed) else failure)

    def _step(self, request: Any, answer: Any) -> None:
        _, field = self._running()
        field.play(request.count if request.HasField("count") else 1)
        answer.simulation_loop = field.loops

    def _debug(self, request: Any, answer: Any) -> None:
        game_map, field = self._running()
        for order in request.debug:
            what = order.WhichOneof("command")
            if what == "kill_unit":
                field.kill(tag - TAG for tag in order.kill_unit.tag if field.find(tag - TAG))
            elif what == "create_unit":
                unit = order.create_unit
                for _ in range(unit.quantity if unit.HasField("quantity") else 1):
                    field.create(game_map.kind_of(unit.unit_type), unit.owner, unit.pos.x, unit.pos.y)
            elif what != "draw":
                raise ValueError(
                    f"the stand-in does not know the debug command {what!r}; it knows kill_unit, create_unit"
                )

    def _data(self, request: Any, answer: Any) -> None:
        game_map, _ = self._running()
        if request.unit_type_id:
            names = game_map.names()
            for number in range(OWN_BASE + len(game_map.own)):
                answer.units.add(unit_id=number, name=names.get(number, ""), available=number in names)

    def _save_replay(self, request: Any, answer: Any) -> None:
        self._running()
        answer.data = f"{GAME}: there is no replay\n".encode()


def _image(out: Any, bits: int, width: int, height: int, data: bytes) -> None:
    out.bits_per_pixel, out.size.x, out.size.y, out.data = bits, width, height, data


def _obeys(field: Field, order: Any, unit: int) -> bool:
    """Give a unit its order. Returns whether it obeys; units of the enemy and unknown ones do not."""
    one = field.find(unit)
    if one is None or one.owner != ALLY:
        return False
    if order.ability_id == STOP:
        return field.stop(unit)
    if order.ability_id == MOVE and order.HasField("target_world_space_pos"):
        goal = order.target_world_space_pos
        return field.move(unit, _snapped(one.x, goal.x), _snapped(one.y, goal.y))
    if order.ability_id in (ATTACK, HEAL) and order.HasField("target_unit_tag"):
        target = field.find(order.target_unit_tag - TAG)
        heals = target is not None and target.owner == ALLY
        return target is not None and heals == (order.ability_id == HEAL) and field.attack(unit, target.id)
    return False


def _snapped(own: float, goal: float) -> float:
    """The coordinate of a goal, with a float32's rounding error taken away (`SNAP`)."""
    if not math.isfinite(goal):
        return goal  # `Field.move` explains it
    cells = float(round(goal - own))
    return own + cells if abs(goal - own - cells) < SNAP else goal
