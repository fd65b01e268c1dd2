"""Commands in the documentation parse, refer to existing things, and are run by a test or say why not."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gco_stream.cli.main import app
from tests.docs.commands import NEEDS, PAGES, ROOT, SESSION, WALKED, Block, blocks, commands

ALL = [block for page in PAGES for block in blocks(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROGRAM = typer.main.get_command(app)


def place(block: Block) -> str:
    return f"{block.page.name}:{block.line}"


def wrong(words: list[str]) -> str:
    """Describes what is wrong with a command. Empty if it is correct."""
    program, *rest = words
    if program == "make":
        targets = [word for word in rest if "=" not in word]
        return "" if set(targets) <= TARGETS else f"no target {targets}"
    if program == "gco-stream":
        return wrong_options(rest)
    if program in {"python", "python3"} and rest and rest[0].endswith(".py"):
        return "" if (ROOT / rest[0]).exists() else f"no file {rest[0]}"
    if program == "pytest":
        files = [word for word in rest if word.startswith("tests/")]
        return "" if all((ROOT / file).exists() for file in files) else f"no file in {files}"
    named = [word.partition("file://")[2] for word in rest if "file://" in word]
    return "" if all((ROOT / name).exists() for name in named) else f"no file in {named}"


def wrong_options(words: list[str]) -> str:
    """Describes an unknown command or option in `gco-stream WORDS`, without running it. Empty if all exist."""
    command: Any = PROGRAM
    words = [word for word in words if not re.fullmatch(r"\d?>+.*|.*\.log", word)]
    while (below := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in below:
            return f"no command {name}"
        command = below[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    unknown = given - options - {"--help", "--install-completion", "--show-completion"}
    return f"no option {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("block", ALL, ids=place)
def test_every_block_parses_and_its_commands_exist(block: Block) -> None:
    checked = subprocess.run(["bash", "-n"], input=block.script(), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    found = commands(block.script())
    assert found
    assert [(words, wrong(words)) for words in found if wrong(words)] == []


@pytest.mark.parametrize("block", ALL, ids=place)
def test_the_needs_of_a_block_use_known_words(block: Block) -> None:
    assert set(block.needs.replace(",", " ").split()) <= NEEDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_by_a_test_or_states_what_it_needs(page: Path) -> None:
    if page.name in WALKED:
        assert page.name in (ROOT / WALKED[page.name]).read_text()
    elif page.name not in SESSION:
        assert [place(block) for block in blocks(page) if block.runs] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_have_only_known_kinds_of_blocks(page: Path) -> None:
    fences = re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE)
    assert set(fences) <= {"sh", "console", "text", "yaml", "json", "mermaid", "python", "hcl"}


def test_a_wrong_command_is_detected() -> None:
    assert wrong(["gco-stream", "endpoint", "put", "-f", "x.yaml"]) == ""
    assert wrong(["gco-stream", "endpoint", "putt"]) == "no command putt"
    assert wrong(["gco-stream", "endpoint", "put", "--fail"]) == "no option --fail"
    assert wrong(["make", "tea"]) == "no target ['tea']"
    assert commands("A=1 one two \\\n three && four # five") == [["one", "two", "three"], ["four"]]
