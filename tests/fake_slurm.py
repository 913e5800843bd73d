"""A queue of one machine behind SLURM's commands sbatch, srun, sacct and scancel, as far as submitit uses them.

`commands(folder)` writes the commands. Jobs start at once, or wait as long as the file `hold` is in the folder.
"""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path


def commands(folder: Path) -> dict[str, str]:
    """Write the commands into a folder; returns the variables of an environment that has them."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel"):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        path.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def submitted(folder: Path) -> list[str]:
    """The scripts of all jobs, in the order of their submission."""
    return [path.read_text() for path in sorted(folder.glob("*.job"), key=lambda path: int(path.stem))]


def state(folder: Path, number: str) -> str:
    """The state of a job."""
    if (folder / f"{number}.end").exists():
        return "COMPLETED"
    return "RUNNING" if (folder / f"{number}.step").exists() else "PENDING"


def sbatch(folder: Path, script: str) -> None:
    number = 1 + len(submitted(folder))
    (folder / f"{number}.job").write_text(Path(script).read_text())
    subprocess.Popen(
        [sys.executable, __file__, "launch", str(number)], start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"Submitted batch job {number}")


def launch(folder: Path, number: str) -> None:
    while (folder / "hold").exists():
        time.sleep(0.05)
    if state(folder, number) == "PENDING":
        subprocess.run(["bash", str(folder / f"{number}.job")], env={**os.environ, "SLURM_JOB_ID": number}, check=False)
        (folder / f"{number}.end").touch()


def srun(folder: Path, *args: str) -> None:
    rest, number = list(args), os.environ["SLURM_JOB_ID"]
    while rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            path = rest.pop(0).replace("%j", number).replace("%t", "0")
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if option == "--output" else 2)
    (folder / f"{number}.step").write_text(str(os.getpid()))
    os.execvp(rest[0], rest)


def sacct(folder: Path, *args: str) -> None:
    print("JobID|State|NodeList")
    for flag, number in pairwise(args):
        if flag == "-j":
            print(f"{number}|{state(folder, number)}|here")


def scancel(folder: Path, *args: str) -> None:
    number, now = args[-1], state(folder, args[-1])
    if now == "PENDING" and "--state=RUNNING" not in args:
        (folder / f"{number}.end").touch()
    if now == "RUNNING" and "--state=PENDING" not in args:
        sent = signal.SIGUSR2 if "--signal=USR2" in args else signal.SIGTERM
        os.kill(int((folder / f"{number}.step").read_text()), sent)


if __name__ == "__main__":
    acts = {"sbatch": sbatch, "launch": launch, "srun": srun, "sacct": sacct, "scancel": scancel}
    acts[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])
