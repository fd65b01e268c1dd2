"""`python -m tests.mutants` applies every mutant to a copy of the sources and shows which tests detect it.

The exit status is 1 if a mutant survives, no longer applies to the sources, or passes one of its tests.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.table import Table

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, missing
from tests.mutants.runner import Copy, MutantResult, copied

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    """Runs the requested mutants; returns the exit status."""
    arguments = _arguments()
    chosen = [mutant for mutant in MUTANTS if _is_asked_for(mutant, arguments)]
    console = Console(width=None if sys.stdout.isatty() else 200)
    if arguments.list:
        console.print(_catalogue(chosen))
        return 0
    verdicts = []
    for verdict in _verdicts(chosen, arguments.jobs):
        verdicts.append(verdict)
        word = "NOT CAUGHT" if verdict.trouble else "caught"
        console.print(f"{word:10} {verdict.seconds:5.1f} s  {verdict.mutant.invariant:3}  {verdict.mutant.name}")
    console.print(_table(sorted(verdicts, key=lambda verdict: MUTANTS.index(verdict.mutant))))
    missed = [verdict for verdict in verdicts if verdict.trouble]
    for verdict in missed:
        console.print(f"{verdict.mutant.name}: {verdict.mutant.breaks}; {verdict.trouble}", markup=False)
    console.print(f"{len(verdicts) - len(missed)} of {len(verdicts)} mutants are caught")
    return 1 if missed or not verdicts else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--only", metavar="I4", help="only the mutants of one invariant")
    parser.add_argument("--unit", action="store_true", help="only mutants whose tests need no control plane")
    parser.add_argument("--list", action="store_true", help="list the mutants without running them")
    parser.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="number of mutants to run in parallel")
    return parser.parse_args()


def _is_asked_for(mutant: Mutant, arguments: argparse.Namespace) -> bool:
    if arguments.unit and mutant.on_real_parts:
        return False
    if arguments.only and mutant.invariant != arguments.only:
        return False
    return not arguments.names or mutant.name in arguments.names


def _verdicts(mutants: Sequence[Mutant], jobs: int) -> Iterator[MutantResult]:
    """Yields the result of each mutant, `jobs` at a time; a test that fails without a mutant proves nothing."""
    whole = []
    for mutant in mutants:
        if absent := missing(ROOT, mutant.tests):
            yield MutantResult(mutant, (), 0.0, f"no such test: {', '.join(absent)}")
        else:
            whole.append(mutant)
    if not whole:
        return
    with ExitStack() as stack:
        copies = [stack.enter_context(copied(ROOT)) for _ in range(min(jobs, len(whole)))]
        unbroken = copies[0].run(tuple(dict.fromkeys(test for mutant in whole for test in mutant.tests)))
        if not unbroken.ended:
            sys.exit(f"the tests cannot be run on the unbroken sources:\n{unbroken.output[-3000:]}")
        for mutant in whole:
            if failed := unbroken.noticed(mutant):
                yield MutantResult(mutant, (), 0.0, f"fails without it: {', '.join(failed)}")
        yield from _judged([mutant for mutant in whole if not unbroken.noticed(mutant)], copies)


def _judged(mutants: Sequence[Mutant], copies: Sequence[Copy]) -> Iterator[MutantResult]:
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def judge(mutant: Mutant) -> MutantResult:
        copy = free.get()
        try:
            return copy.judge(mutant)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for future in as_completed([pool.submit(judge, mutant) for mutant in mutants]):
            yield future.result()


def _table(verdicts: Sequence[MutantResult]) -> Table:
    table = Table("mutant", "invariant", "caught by", "s", title="Mutants")
    for verdict in verdicts:
        caught = "\n".join(test.removeprefix("tests/") for test in verdict.caught_by)
        table.add_row(
            verdict.mutant.name,
            verdict.mutant.invariant,
            f"[red]{verdict.trouble.splitlines()[0]}[/red]" if verdict.trouble else caught,
            f"{verdict.seconds:.1f}",
        )
    return table


def _catalogue(mutants: Sequence[Mutant]) -> Table:
    table = Table("mutant", "invariant", "file", "effect", "tests")
    for mutant in mutants:
        tests = "\n".join(test.removeprefix("tests/") for test in mutant.tests)
        table.add_row(mutant.name, mutant.invariant, mutant.file, mutant.breaks, tests)
    return table


if __name__ == "__main__":
    sys.exit(main())
