"""Judges the processes and logs of the replicas: exits, memory (I10, I11) and bugs."""

from collections.abc import Iterable, Mapping
from typing import Any

_OF_OURS = ("unexpected error in reconcile", "was never retrieved", "was never awaited", "Traceback", "Unclosed")


def logged_faults(replica: str, lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Describes log lines that only a bug in the program can cause, one per kind, with their count."""
    seen: dict[str, tuple[int, str]] = {}
    for line in lines:
        words = str(line.get("text") or line.get("message") or "")
        if "exception" in line or any(sign in words for sign in _OF_OURS):
            place = str(line.get("exception", words)).strip().splitlines()
            key = f"{words}: {place[-1] if place else ''}"
            count, first = seen.get(key, (0, "\n".join(place[-8:])))
            seen[key] = count + 1, first
    return [f"{replica} logged {count} times: {key}\n{first}" for key, (count, first) in seen.items()]


def over_memory_limit(peaks: Mapping[str, float], limit: float) -> list[str]:
    """Describes replicas that used more memory (MiB) than the limit."""
    return [f"{name} used {peak:.0f} MiB, more than {limit:.0f}" for name, peak in peaks.items() if peak > limit]
