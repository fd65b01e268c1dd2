"""Tests of the help of every command: description, options and examples."""

import re
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from gco_stream.cli.help import EXIT_CODES, reflowed
from gco_stream.cli.main import app
from tests.cli.support.commands import run

# Words that introduce the behaviour without an option.
_DEFAULT = re.compile(r"\b(default|without|otherwise)\b", re.IGNORECASE)


def commands(group: TyperGroup, *path: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, *path, name)
        else:
            assert isinstance(command, typer.core.TyperCommand)
            yield " ".join((*path, name)), command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
EVERY = dict(commands(ROOT))


def test_all_commands_are_found() -> None:
    assert {"run", "top", "doctor", "explain", "endpoint put", "table create", "local up"} <= EVERY.keys()
    assert len(EVERY) > 25


@pytest.mark.parametrize("name", EVERY)
def test_each_command_has_a_description_examples_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = EVERY[name].help or ""
    description, _, examples = text.partition("Examples:")
    assert re.match(r"[A-Z].*\.", description), "starts with a sentence"
    assert f"gco-stream {name}" in examples
    assert run(*name.split(), "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " ".join(EXIT_CODES.split()) in shown
    for paragraph in description.split("\n\n"):
        assert " ".join(paragraph.split()) in shown


@pytest.mark.parametrize("name", EVERY)
def test_each_option_is_documented_with_its_default(name: str) -> None:
    for parameter in EVERY[name].params:
        assert isinstance(parameter, TyperOption | TyperArgument)
        text = parameter.help or ""
        assert len(text) > len("a word"), f"{parameter.name} is not documented"
        is_flag = isinstance(parameter, TyperOption) and parameter.is_flag and parameter.default is False
        has_default = parameter.default is not None and parameter.show_default
        says = parameter.required or is_flag or has_default or parameter.envvar or _DEFAULT.search(text)
        assert says, f"{parameter.name}: no default documented"


def test_paragraphs_are_joined_and_examples_are_unchanged() -> None:
    text = "One.\n\n    Two\n    lines.\n\n    Examples:\n\n      a \\\n        b\n"
    assert reflowed(text) == "One.\n\nTwo lines.\n\nExamples:\n\n  a \\\n    b"
