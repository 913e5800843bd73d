"""Constructs the environments of the original packages `smac` and `smacv2`, and finds the game behind them."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from mawm.envs.skirmish.smacv2.maps import DRAWN_MAPS, MAY_FILL_A_TEAM, SHARES
from mawm.envs.standin.settings import GAME, MARKER

COMMITS = {
    "smac": "d6aab33f76abc3849c50463a8592a84f59a5ef84",
    "smacv2": "577ab5a2cff2391f8df582da5731ea9cd6adf3c6",
}
"""The tested commit of each package."""
ALTERNATIVES = "--env skirmish, the embedded engine, needs no StarCraft II"


def game_folder() -> Path:
    """The folder in which PySC2 looks for StarCraft II: the environment variable SC2PATH, or ~/StarCraftII."""
    return Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()


def game_name() -> str:
    """The game in `game_folder`: "StarCraft II", or "stand-in"."""
    return GAME if (game_folder() / MARKER).is_file() else "StarCraft II"


def package_env(package: str, map_name: str, seed: int) -> Any:
    """A new environment of a package; its first `reset` starts the game.

    ValueError if the package, the game or the map is missing, or if the package does not have the map.
    """
    kinds = {"smac": _smac, "smacv2": _smacv2}
    _check_map(package, map_name)
    try:
        import_module("s2clientprotocol.sc2api_pb2")
        make = kinds[package]
        env = make(map_name, seed)
    except ImportError as error:
        raise ValueError(_missing(package, error)) from None
    except TypeError as error:
        if "Descriptors" not in str(error):
            raise
        raise ValueError(
            "the installed s2clientprotocol does not work with this protobuf; replace it: "
            "pip install --force-reinstall --no-deps pys2clientprotocol"
        ) from None
    _check_game(map_name, env)
    return env


def _smac(map_name: str, seed: int) -> Any:
    from smac.env import StarCraft2Env
    from smac.env.starcraft2.maps.smac_maps import get_smac_map_registry

    if map_name not in get_smac_map_registry():
        known = ", ".join(sorted(get_smac_map_registry()))
        raise ValueError(f"--map is {map_name}, and --env smac has no such map; it must be one of {known}")
    # With `continuing_episode` the package says when a battle ends only by its time limit.
    return StarCraft2Env(map_name=map_name, seed=seed, continuing_episode=True)


def _smacv2(map_name: str, seed: int) -> Any:
    """SMACv2's environment with the settings of its published results."""
    from smacv2.env.starcraft2.wrapper import StarCraftCapabilityEnvWrapper

    drawn = DRAWN_MAPS[map_name]
    capabilities = {
        "n_units": drawn.n_agents,
        "n_enemies": drawn.n_enemies,
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": list(drawn.kinds),
            "weights": list(SHARES),
            "observe": True,
            "exception_unit_types": [kind for kind in drawn.kinds[2:] if kind not in MAY_FILL_A_TEAM],
        },
        "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32},
    }
    return StarCraftCapabilityEnvWrapper(
        capability_config=capabilities,
        map_name=f"10gen_{drawn.race}",
        seed=seed,
        continuing_episode=True,
        debug=False,
        conic_fov=False,
        use_unit_ranges=True,
        min_attack_range=2,
        obs_own_pos=True,
        fully_observable=False,
    )


def _check_map(package: str, map_name: str) -> None:
    """ValueError if the map belongs to the other package."""
    if package == "smacv2" and map_name not in DRAWN_MAPS:
        raise ValueError(
            f"--map is {map_name}, and --env smacv2 plays only maps with drawn teams: {', '.join(DRAWN_MAPS)}. "
            "SMAC's maps need --env smac or --env skirmish, because SMACv2 hangs at their second battle"
        )
    if package == "smac" and map_name in DRAWN_MAPS:
        raise ValueError(f"--map is {map_name}, a map of SMACv2: use --env smacv2 or --env skirmish")


def _missing(package: str, error: ImportError) -> str:
    return (
        f"--env {package} needs the package {error.name or package}, which is not installed: "
        "pip install -e '.[starcraft]', then "
        f"pip install --no-deps pysc2 git+https://github.com/oxwhirl/{package}.git@{COMMITS[package]} (PyPI's smac is "
        f"another project). {ALTERNATIVES} and none of these packages"
    )


def _check_game(map_name: str, env: Any) -> None:
    """ValueError if SC2PATH has no game, or the game does not have the map's file."""
    folder = game_folder()
    help_ = f"python -m mawm.standin DIR writes a stand-in for the game, and {ALTERNATIVES}"
    if not (folder / "Versions").is_dir():
        raise ValueError(
            f"there is no StarCraft II in {folder} (it has no folder Versions): set SC2PATH to its folder; {help_}"
        )
    file = f"{getattr(env, 'env', env).map_name}.SC2Map"
    found = {path.name for path in (folder / "Maps").rglob("*.SC2Map")}
    needed = "32x32_flat.SC2Map" if map_name in DRAWN_MAPS else file
    if needed not in found:
        raise ValueError(
            f"{folder / 'Maps'} does not hold {needed}: copy the folder SMAC_Maps of the package there; {help_}"
        )
