"""The report of a run: a table of figures and, if judges object, the findings."""

from pathlib import Path

from tests.chaos.run.chaos import Result

_MOST = 12


def table(result: Result) -> str:
    """Returns the figures, the count of each kind of fault, and the outcome of each judge."""
    rows = [*result.figures.items(), ("", ""), *result.faults, ("", "")]
    rows += [(f"judge: {judge}", f"{len(found)} findings" if found else "ok") for judge, found in _judged(result)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"{name:<{width}}  {value}".rstrip() for name, value in rows)])


def summary(result: Result, seed: int, folder: Path) -> str:
    """Returns the findings of each judge, and where to find more."""
    lines = ["", "WRONG"]
    for judge, found in _judged(result):
        if found:
            lines += [f"* violated: {judge}", *(f"    {line}" for one in found[:_MOST] for line in one.splitlines())]
            if len(found) > _MOST:
                lines.append(f"    ... and {len(found) - _MOST} more")
    lines += [
        f"Repeat with --seed {seed}. In {folder}: journal.jsonl lists all actions and faults, r*.log are the "
        "replicas' logs, plane/audit.log contains every API call."
    ]
    return "\n".join(lines)


def _judged(result: Result) -> list[tuple[str, list[str]]]:
    return list(result.verdict.wrongs.items())
