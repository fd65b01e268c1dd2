"""Runs helm as a user does, with its own home directory, and parses what it renders."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.chart.values import CHART

REGION = "us-east-1"
Object = dict[str, Any]


class Helm:
    """Runs helm. `helm(...)` returns its output; `kubeconfig` selects the cluster."""

    def __init__(self, binary: Path, home: Path, kubeconfig: Path | None = None) -> None:
        self.binary = binary
        self.chart = CHART
        self._home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "KUBECONFIG": str(kubeconfig or home / "none"),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs helm and returns the result, whether or not it succeeds."""
        return subprocess.run(
            [self.binary, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refusal(self, *arguments: str) -> str:
        """Runs helm, which must fail, and returns its error output."""
        done = self.run(*arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def render(
        self, values: Mapping[str, Any] | None = None, *options: str, chart: Path = CHART, namespace: str = "gco-system"
    ) -> dict[str, Object]:
        """Returns the chart's objects by Kind/name, or Kind/namespace/name outside the release's namespace."""
        file = self._home / "values.yaml"
        file.write_text(yaml.safe_dump(laid_over({"settings": {"REGION": REGION}}, values or {})))
        text = self("template", "gco-stream", str(chart), "--namespace", namespace, "--values", str(file), *options)
        return by_name(yaml.safe_load_all(text), namespace)


def by_name(objects: Any, namespace: str) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for obj in objects:
        if obj is None:
            continue
        of = obj["metadata"].get("namespace", namespace)
        name = "/".join([obj["kind"], *([] if of == namespace else [of]), obj["metadata"]["name"]])
        assert name not in found, name
        found[name] = obj
    return found


def laid_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `base` with `over` merged into it, as helm merges values."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = laid_over(below, value) if both and isinstance(below, Mapping) else value
    return merged


def environment(container: Object) -> dict[str, str]:
    """Returns the environment variables of a container that have a literal value."""
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}
