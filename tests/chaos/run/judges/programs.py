"""I10, I11 and our own faults: what the replicas' processes and logs tell."""

from collections.abc import Iterable, Mapping
from typing import Any

_OF_OURS = ("unexpected error in reconcile", "was never retrieved", "was never awaited", "Traceback", "Unclosed")


def logged_faults(replica: str, lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Log lines that only a fault of the program's own can cause, each kind once, with how often it came."""
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
    """Replicas that took more memory (MiB) than the limit."""
    return [f"{name} took {peak:.0f} MiB, more than {limit:.0f}" for name, peak in peaks.items() if peak > limit]
