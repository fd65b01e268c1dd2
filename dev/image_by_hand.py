"""Carries out the Dockerfile's steps in an empty folder, for machines that have no Docker engine.

All stages share one root, so what a stage copies from another at the same path is there already, and the virtual
environments stay where they were made. What it cannot show: the base image, the user, and other processors.

    python dev/image_by_hand.py --target run FOLDER
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_OURS = re.compile(r"(?<![\w./])/(opt|src|sbom)(?=[/\s\"']|$)")


@dataclass(slots=True)
class Stage:
    """A stage of a Dockerfile: what it begins from, and its instructions as (word, rest of the line)."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        """The last instruction `word` of this stage. Raises KeyError."""
        return dict(self.instructions)[word]


def stages(dockerfile: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    stage = None
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stage = found[name] = Stage(base, name)
        elif stage is not None:
            stage.instructions.append((word, rest.strip()))
    return found


def context(folder: Path) -> list[str]:
    """The files of `folder` that its .dockerignore lets into a build, as relative paths."""
    rules = [line for line in (folder / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    compiled = [(rule[0] == "!", re.compile(_pattern(rule.lstrip("!")))) for rule in rules]
    files = []
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(directory, name).relative_to(folder)
            paths = [str(part) for part in (path, *path.parents)][:-1]
            kept = True
            for wanted, pattern in compiled:
                if any(pattern.fullmatch(one) for one in paths):
                    kept = wanted
            if kept:
                files.append(str(path))
    return sorted(files)


def _pattern(rule: str) -> str:
    return re.escape(rule).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")


class Builder:
    """Carries stages out under `root`, which must be empty."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.stages = stages((ROOT / "Dockerfile").read_text())
        self._context = context(ROOT)
        self._done: set[str] = set()
        (self.root / "bin").mkdir(parents=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        (self.root / "bin" / "python").symlink_to(Path(sys.base_prefix, "bin", f"python{version}"))

    def build(self, name: str) -> dict[str, str]:
        """Carries out the stage and those it copies from; returns its environment."""
        environment = {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin"}
        # HOME for pip's cache: what comes out of it is checked by its hash as what comes from elsewhere.
        for given in ("HOME", "PIP_INDEX_URL", "PIP_CERT", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "PIP_CONFIG_FILE"):
            if given in os.environ:
                environment[given] = os.environ[given]
        here = self.root
        for word, rest in self.stages[name].instructions:
            if word == "ENV":
                for pair in shlex.split(rest):
                    key, _, value = pair.partition("=")
                    if key != "PIP_NO_CACHE_DIR":
                        environment[key] = self.here(value).replace("$PATH", environment["PATH"])
            elif word == "WORKDIR":
                here = Path(self.here(rest))
                here.mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                self._copy(rest.split(), here)
            elif word == "RUN" and name not in self._done:
                subprocess.run(["/bin/sh", "-ec", self.here(rest)], cwd=here, env=environment, check=True)
        self._done.add(name)
        return environment

    def command(self, stage: str, word: str) -> list[str]:
        """The command of ENTRYPOINT, CMD or HEALTHCHECK, as it is under this root."""
        text = self.stages[stage].last(word)
        return [self.here(part) for part in json.loads(text[text.index("[") :])]

    def here(self, text: str) -> str:
        """`text` with the image's own absolute paths as they are under this root."""
        return _OURS.sub(lambda match: f"{self.root}/{match[1]}", text)

    def _copy(self, words: list[str], here: Path) -> None:
        *sources, target = words
        if sources[0].startswith("--from="):
            origin = sources.pop(0).removeprefix("--from=")
            if origin not in self._done:
                self.build(origin)
            for source in sources:
                made = Path(self.here(source))
                if source != target:
                    shutil.copy(made, self.root / target.lstrip("/") / made.name)
            return
        for source in sources:
            files = [path for path in self._context if path == source or path.startswith(f"{source}/")]
            if not files:
                raise FileNotFoundError(f"COPY {source}: nothing of that name is let in by .dockerignore")
            for path in files:
                # A folder's content goes into the target, a file goes under its own name.
                inside = path.removeprefix(f"{source}/") if path != source else Path(path).name
                place = here / target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, place)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", default="run", help="the stage that is wanted")
    parser.add_argument("folder", type=Path, help="an empty or a new folder")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    builder = Builder(options.folder)
    if options.target not in builder.stages:
        parser.error(f"--target {options.target}: allowed: {', '.join(builder.stages)}")
    builder.build(options.target)
    print(f"{options.target} is made in {builder.root}")


if __name__ == "__main__":
    main()
