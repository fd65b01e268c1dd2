"""Describes the environment of a benchmark: the machine, its load, and the versions of all programs."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil

from gco_stream import __version__
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.toolchain.build import ETCD_VERSION, KWOK_VERSION


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
    }


def versions(plane: ControlPlane) -> dict[str, str]:
    """Versions of all programs. `plane` must be running."""
    return {
        "python": platform.python_version(),
        "gco-stream": __version__,
        "kube-apiserver": plane.kube.get("/version")["gitVersion"],
        "etcd": ETCD_VERSION,
        "kwok": KWOK_VERSION,
        "dynamodb-local": _dynamodb_version(plane.prepare().dynamodb),
    }


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _dynamodb_version(jars: Path) -> str:
    found = [re.search(r"DynamoDBLocal-(.+)\.jar$", jar.name) for jar in jars.glob("DynamoDBLocal*.jar")]
    return next((match[1] for match in found if match), "unknown")
