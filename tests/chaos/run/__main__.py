"""`python -m tests.chaos.run` performs one run and prints its progress; the exit status is 1 if a judge objects."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run.chaos import Plan, run
from tests.chaos.run.report import summary, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="duration of faults and writes (300)")
    parser.add_argument("--seed", type=int, default=None, help="seed of all random choices (default: random)")
    parser.add_argument("--endpoints", type=int, default=200, help="(200)")
    parser.add_argument("--replicas", type=int, default=3, help="replicas of the controller (3)")
    parser.add_argument("--pace", type=float, default=None, help="user writes per second (endpoints / 50)")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds to converge after the faults end (120)")
    parser.add_argument("--only", action="append", help="use only this kind of fault; can be repeated")
    parser.add_argument("--rest", type=float, default=15.0, help="seconds without writes at the end (15)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="folder for logs and all other files (default: a new one)"
    )
    parser.add_argument("--program", type=Path, default=None, help="folder with another version of gco_stream")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="gco-stream-chaos-"))).absolute()
    print(f"seed {seed}; all files are in {folder}", flush=True)
    plan = Plan(
        seed=seed,
        seconds=given.seconds,
        endpoints=given.endpoints,
        replicas=given.replicas,
        pace=given.pace or given.endpoints / 50,
        patience=given.patience,
        rest=given.rest,
        folder=folder,
        kinds=frozenset(given.only) if given.only else None,
        code=given.program.absolute() if given.program else None,
    )
    began = time.monotonic()
    result = run(plan, lambda words: print(f"[{time.monotonic() - began:4.0f} s] {words}", flush=True))
    print(table(result), flush=True)
    if result.verdict.ok:
        return 0
    print(summary(result, seed, folder), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
