"""`python -m tests.chaos.run`: one run, told as it goes; 1 is its exit status where something went wrong."""

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
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults and writes last (300)")
    parser.add_argument("--seed", type=int, default=None, help="of everything that the dice decide (another each time)")
    parser.add_argument("--endpoints", type=int, default=200, help="(200)")
    parser.add_argument("--replicas", type=int, default=3, help="of the controller (3)")
    parser.add_argument("--pace", type=float, default=None, help="user writes a second (endpoints / 50)")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds from quiet to all as asked (120)")
    parser.add_argument("--only", action="append", help="only this kind of fault; may be repeated")
    parser.add_argument("--rest", type=float, default=15.0, help="seconds of silence at the end (15)")
    parser.add_argument("--folder", type=Path, default=None, help="for logs and everything else (a new one)")
    parser.add_argument("--program", type=Path, default=None, help="a folder with another version of gco_stream")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="gco-stream-chaos-"))).absolute()
    print(f"seed {seed}; everything is kept in {folder}", flush=True)
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
