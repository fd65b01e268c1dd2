"""Runs the steps of the Dockerfile in an empty folder, for machines without Docker.

All stages share one root. Files that a stage copies from another stage to the same path therefore already exist, and
virtual environments stay where they were created. It does not cover the base image, the user and other CPU
architectures.

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
    """A stage of a Dockerfile: its base, name and instructions, as pairs of keyword and arguments."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        """Arguments of the last instruction `word` in this stage. Raises KeyError."""
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
    """The build context of `folder` according to its .dockerignore, as relative paths."""
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
    """Builds stages under `root`, which must be empty."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.stages = stages((ROOT / "Dockerfile").read_text())
        self._context = context(ROOT)
        self._done: set[str] = set()
        (self.root / "bin").mkdir(parents=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        (self.root / "bin" / "python").symlink_to(Path(sys.base_prefix, "bin", f"python{version}"))

    def build(self, name: str) -> dict[str, str]:
        """Builds a stage and the stages it copies from. Returns its environment."""
        environment = {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin"}
        # HOME enables pip's cache. pip verifies the hash of cached packages, too.
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
        """The command of ENTRYPOINT, CMD or HEALTHCHECK, with paths under this root."""
        text = self.stages[stage].last(word)
        return [self.here(part) for part in json.loads(text[text.index("[") :])]

    def here(self, text: str) -> str:
        """Replaces the absolute paths of the image in `text` with paths under this root."""
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
                raise FileNotFoundError(f"COPY {source}: not found, or excluded by .dockerignore")
            for path in files:
                # COPY puts the content of a folder into the target, and keeps the name of a file.
                inside = path.removeprefix(f"{source}/") if path != source else Path(path).name
                place = here / target / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, place)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", default="run", help="stage to build (default: run)")
    parser.add_argument("folder", type=Path, help="new or empty folder")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"folder: invalid value {options.folder}: must be a new or empty folder")
    builder = Builder(options.folder)
    if options.target not in builder.stages:
        parser.error(f"--target: invalid value {options.target}: must be one of {', '.join(builder.stages)}")
    builder.build(options.target)
    print(f"built {options.target} in {builder.root}")


if __name__ == "__main__":
    main()
