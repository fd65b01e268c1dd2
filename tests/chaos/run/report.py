"""A run's end in words: a table of figures, and where something went wrong, what."""

from pathlib import Path

from tests.chaos.run.chaos import Result

_MOST = 12


def table(result: Result) -> str:
    """The figures, and how often each kind of fault came."""
    rows = [*result.figures.items(), ("", ""), *result.faults, ("", "")]
    rows += [(f"judge: {judge}", f"{len(found)} wrong" if found else "held") for judge, found in _judged(result)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(f"{name:<{width}}  {value}".rstrip() for name, value in rows)])


def summary(result: Result, seed: int, folder: Path) -> str:
    """What went wrong, judge by judge, and where to look further."""
    lines = ["", "WRONG"]
    for judge, found in _judged(result):
        if found:
            lines += [f"* not held: {judge}", *(f"    {line}" for one in found[:_MOST] for line in one.splitlines())]
            if len(found) > _MOST:
                lines.append(f"    ... and {len(found) - _MOST} more")
    lines += [
        f"Once more with --seed {seed}. In {folder}: journal.jsonl tells what was done and when, r*.log are the "
        "replicas' logs, plane/audit.log has every call."
    ]
    return "\n".join(lines)


def _judged(result: Result) -> list[tuple[str, list[str]]]:
    return list(result.verdict.wrongs.items())
