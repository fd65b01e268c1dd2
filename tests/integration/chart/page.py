"""Runs the commands of a documentation page as a reader does, in the namespaces of a test."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.processes.forked_process import run_forked

_SECONDS = 300.0


class Page:
    """One page. `names`: replacements for words of the page. `programs`: the executable for a command's first word."""

    def __init__(
        self,
        path: Path,
        *,
        names: Mapping[str, str],
        programs: Mapping[str, Path],
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._text = path.read_text()
        self._names = names
        self._programs = programs
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
        self.left = self._commands(self._text)

    def values(self) -> dict[str, Any]:
        """Returns the page's values.yaml."""
        (block,) = re.findall(r"^```yaml\n(.*?)^```$", self._text, re.MULTILINE | re.DOTALL)
        found: dict[str, Any] = yaml.safe_load(block)
        return found

    def walk(self, part: str, *, until: str = "") -> str:
        """Runs the remaining commands below a heading ("" for the first part) in order and returns their output.

        With `until`, stops before the first command that starts with it.
        """
        text = self._text.partition(f"\n## {part}\n" if part else "\n")[2].partition("\n## ")[0]
        assert text, part
        printed = []
        for command in self._commands(text):
            if command not in self.left:
                continue
            if until and command.startswith(until):
                break
            self.left.remove(command)
            printed.append(self._run(command))
        return "\n".join(printed)

    def _commands(self, text: str) -> list[str]:
        blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]

    def _run(self, command: str) -> str:
        for name, stands in self._names.items():
            command = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w./-])", stands, command)
        program, *arguments = shlex.split(command)
        if program == "gco-stream":
            done = run_forked(("gco_stream", *arguments), self._environment, _SECONDS)
        else:
            done = subprocess.run(
                [self._programs[program], *arguments],
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout
