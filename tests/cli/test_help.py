"""The help of every command, as one reads a man page: what it does, what each option means, how it is used."""

import re
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from gco_stream.cli.help import EXIT_CODES, reflowed
from gco_stream.cli.main import app
from tests.cli.test_main import run

# What says what holds where an option is left out.
_LEFT_OUT = re.compile(r"\b(default|without|otherwise)\b", re.IGNORECASE)


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


def test_all_commands_are_looked_at() -> None:
    assert {"run", "top", "doctor", "explain", "endpoint put", "table create", "local up"} <= EVERY.keys()
    assert len(EVERY) > 25


@pytest.mark.parametrize("name", EVERY)
def test_each_command_says_what_it_does_how_it_is_used_and_how_it_ends(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = EVERY[name].help or ""
    told, _, examples = text.partition("Examples:")
    assert re.match(r"[A-Z].*\.", told), "a sentence first"
    assert f"gco-stream {name}" in examples
    assert run(*name.split(), "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " ".join(EXIT_CODES.split()) in shown
    for paragraph in told.split("\n\n"):
        assert " ".join(paragraph.split()) in shown


@pytest.mark.parametrize("name", EVERY)
def test_each_option_is_explained_with_what_holds_where_it_is_left_out(name: str) -> None:
    for parameter in EVERY[name].params:
        assert isinstance(parameter, TyperOption | TyperArgument)
        told = parameter.help or ""
        assert len(told) > len("a word"), f"{parameter.name} is not explained"
        is_flag = isinstance(parameter, TyperOption) and parameter.is_flag and parameter.default is False
        has_default = parameter.default is not None and parameter.show_default
        says = parameter.required or is_flag or has_default or parameter.envvar or _LEFT_OUT.search(told)
        assert says, f"{parameter.name}: what holds without it?"


def test_paragraphs_fill_the_line_and_examples_stay_as_they_are() -> None:
    text = "One.\n\n    Two\n    lines.\n\n    Examples:\n\n      a \\\n        b\n"
    assert reflowed(text) == "One.\n\nTwo lines.\n\nExamples:\n\n  a \\\n    b"
