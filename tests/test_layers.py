"""The structure that keeps the code readable: import layers, no method flags, no global randomness, bounded sizes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("mawm", "agents", "envs", "configs", "benchmarks")
TYPING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
FOLDED = (
    "envs",
    "configs",
    "benchmarks",
    "selectors",
    "budgets",
    "deliveries",
    "results",
    "sweeps",
    "theory",
    "gating",
    "auditing",
)
METHODS = {"independent", "experience", "rollouts", "both", "centralized", "ippo", "mappo"}

# Lowest first. A module imports from lines above its own alone; within envs/ (one line) imports form no cycle.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "seeds", "agents.config", "files", "lock", "patience", "careful", "telling", "factory"),
    ("processes",),
    ("stopping",),
    ("pieces",),
    ("writing",),
    ("checkpoint",),
    ("budgets", "selectors", "picks", "codec", "gate", "guard", "ledger", "metrics", "envs", "team"),
    ("configs", "restarting"),
    ("beside", "broadcast", "cli", "collect", "watch", "evaluation", "schedule"),
    ("deliveries", "deployment"),
    ("channel",),
    ("loop", "saving"),
    ("run_state",),
    ("agents.products", "agents.exploration", "agents.battle_log", "agents.information", "agents.scales"),
    ("agents.categorical", "agents.returns", "agents.optimiser", "agents.nets", "agents.replay"),
    ("agents.recurrence", "agents.fixed"),
    ("agents.rssm", "agents.ppo_nets", "agents.ensemble", "agents.snapshot_weights"),
    ("agents.world_model", "agents.ppo_batch"),
    ("agents.actor_critic", "agents.pooled"),
    ("agents.averaged", "agents.intrinsic", "agents.population"),
    ("agents.memory",),
    ("agents.model_trainer", "agents.parameter_information", "agents.policy_information"),
    ("agents.behaviour_trainer", "agents.snapshot"),
    ("agents.agent", "agents.ppo"),
    ("gating",),
    ("build",),
    ("disk", "estimate", "facts"),
    ("place",),
    ("results", "theory"),
    ("auditing",),
    ("audit", "train", "evaluate", "export", "plot", "report", "verify"),
    ("sweeps",),
    ("sweep",),
    ("benchmarks",),
    ("bench",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


@cache
def sources() -> dict[str, Path]:
    """Every module of the package by its dotted name below `mawm`."""
    found = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[1:] if folder == "mawm" else parts).removesuffix("__init__").rstrip(".")] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(*prefixes: str) -> list[tuple[str, Path]]:
    """The modules below some prefixes: (name, path)."""
    return [(name, path) for name, path in sources().items() if not prefixes or name.startswith(prefixes)]


def imported(path: Path) -> Iterator[str]:
    """Dotted names of the modules a file imports, wherever in the file it does so (but not for annotations alone)."""
    annotations = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.If) and dotted(node.test) in TYPING]
    skipped = {id(inner) for block in annotations for inner in ast.walk(block)}
    for node in ast.walk(tree_of(path)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The package's own modules a file imports, by their names below `mawm`."""
    names = {name.removeprefix("mawm.") for name in imported(path) if name.startswith("mawm.")}
    return names & (sources().keys() - {"agents", *FOLDED, "envs.skirmish"})


def unit(module: str) -> str:
    """What the table ranks: agents and mawm by module, the other folders as a whole."""
    folder = module.partition(".")[0]
    return folder if folder in FOLDED else module


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names and attributes, or an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_every_module_has_a_layer() -> None:
    packages = {"", "agents"}
    assert {unit(name) for name in sources()} - packages == RANK.keys()


def test_imports_go_to_strictly_lower_layers() -> None:
    edges = [(unit(name), unit(used)) for name, path in modules() for used in own_imports(path)]
    assert [(a, b) for a, b in edges if a != b and RANK[b] >= RANK[a]] == []


def test_imports_form_no_cycle() -> None:
    graph = {name: own_imports(path) - {name} for name, path in modules()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(sources())


def test_environments_know_neither_torch_nor_the_agents() -> None:
    banned = ("torch", "mawm.agents", "mawm.channel", "mawm.team", "mawm.loop", "mawm.build", "mawm.configs")
    found = [(name, used) for name, path in modules("envs") for used in imported(path) if used.startswith(banned)]
    assert found == []


def test_agents_import_nothing_that_logs_or_knows_other_agents() -> None:
    allowed = {"types", "broadcast", "codec", "picks", "selectors", "budgets", "gate", "seeds"}
    found = {used for _, path in modules("agents") for used in own_imports(path) if not used.startswith("agents.")}
    assert found - allowed == set()


def test_only_build_matches_on_a_method_name() -> None:
    found = []
    for name, path in modules():
        if name == "build":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Compare | ast.MatchValue):
                words = {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
                found += [(name, node.lineno) for word in words & METHODS if isinstance(word, str)]
    assert found == []


def test_the_loop_and_the_agents_name_no_method() -> None:
    texts = [(name, tree_of(path)) for name, path in modules("agents", "loop", "collect", "team")]
    words = [(name, node.value) for name, tree in texts for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert [(name, word) for name, word in words if word in METHODS - {"experience", "rollouts"}] == []


def test_no_global_random_state() -> None:
    numpy_allowed = {"Generator", "default_rng", "SeedSequence", "PCG64", "Philox", "BitGenerator"}
    drawing = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal", "rand_like", "randn_like"}
    found = []
    for name, path in modules("", "agents", "envs", "configs"):
        # The plain baseline samples as plain code does, by torch.distributions; the audit's leaks are what they are.
        if name.startswith("benchmarks") or name == "auditing.leaks":
            continue
        for node in ast.walk(tree_of(path)):
            word = dotted(node)
            if word.startswith(("np.random.", "numpy.random.")) and word.split(".")[2] not in numpy_allowed:
                found.append((name, word))
            if word in ("torch.manual_seed", "torch.seed", "torch.default_generator") and name != "train":
                found.append((name, word))
            if isinstance(node, ast.Call) and dotted(node.func).removeprefix("torch.") in drawing:
                owner = dotted(node.func).partition(".")[0]
                if owner == "torch" and "generator" not in {keyword.arg for keyword in node.keywords}:
                    found.append((name, dotted(node.func)))
        found += [(name, used) for used in imported(path) if used.partition(".")[0] == "random"]
    assert found == []


def test_no_pickle() -> None:
    found = []
    for name, path in modules():
        found += [
            (name, used) for used in imported(path) if used.partition(".")[0] in ("pickle", "cloudpickle", "joblib")
        ]
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and dotted(node.func) in ("torch.save", "torch.load"):
                found.append((name, dotted(node.func)))
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                found.append((name, "allow_pickle"))
    assert found == []


def test_modules_are_named_by_their_subject() -> None:
    sediment = {"utils", "util", "common", "helpers", "misc"}
    assert [name for name in sources() if sediment & set(name.split("."))] == []


def test_files_and_functions_stay_short() -> None:
    paths = [*sources().values(), *(ROOT / "tests").glob("*.py")]
    long_files = {str(p.relative_to(ROOT)): n for p in paths if (n := len(p.read_text("utf-8").splitlines())) > 400}
    functions = [(p, node) for p in paths for node in ast.walk(tree_of(p)) if isinstance(node, ast.FunctionDef)]
    lengths = {f"{p.relative_to(ROOT)}:{f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for p, f in functions}
    assert (long_files, {name: n for name, n in lengths.items() if n > 60}) == ({}, {})


def asserts(function: ast.AST, checking: set[str]) -> bool:
    """Whether a function holds an assertion: a statement, an expected error, or a call of a function that asserts."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            last = called.rpartition(".")[2]
            if called in ("pytest.raises", "pytest.warns") or last in checking or last.startswith("assert_"):
                return True
    return False


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("test_*.py")), ids=lambda path: path.stem)
def test_every_test_asserts(path: Path) -> None:
    functions = {node.name: node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)}
    checking: set[str] = set()
    for _ in range(3):  # helpers that call helpers
        checking |= {name for name, node in functions.items() if asserts(node, checking)}
    tests = [name for name in functions if name.startswith("test_")]
    assert tests
    assert [name for name in tests if name not in checking] == []


@pytest.mark.parametrize(
    "module",
    [
        "mawm",
        "mawm.train",
        "mawm.evaluate",
        "mawm.export",
        "mawm.plot",
        "mawm.report",
        "mawm.sweep",
        "mawm.verify",
        "mawm.audit",
    ],
)
def test_importing_a_command_is_light(module: str) -> None:
    heavy = {"torch", "numba", "pysc2", "smac", "tensorboard", "matplotlib", "scipy"}
    code = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
