"""Tests of the exit codes and errors of commands, without a table."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gco_stream import __version__
from gco_stream.aws import errors as aws
from gco_stream.cli.errors import CONFLICT, FAILED, NOT_FOUND, UNREACHABLE, USAGE, command_error_of
from gco_stream.cli.options import DEFAULT_TABLE, REGION_VARIABLES, TABLE_VARIABLE, complete_endpoint
from gco_stream.cluster.api import errors as cluster
from gco_stream.settings import SettingsError
from tests.cli.support.commands import run

COMMANDS = [
    *(f"endpoint {name}" for name in ("put", "get", "list", "wait", "start", "stop", "scale", "delete", "hold")),
    *("endpoint release", "endpoint forget-region", "table create", "table enable-stream", "table status"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (*REGION_VARIABLES, TABLE_VARIABLE, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"gco-stream {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command.split(), "--help") == 0
    assert f"gco-stream {command}" in " ".join(capsys.readouterr().out.partition("Examples:")[2].split())


@pytest.mark.parametrize("arguments", [["endpoint", "lost"], ["endpoint", "get"], ["endpoint", "scale", "a", "many"]])
def test_invalid_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments) == USAGE


def test_a_missing_region_is_reported_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("endpoint", "list") == USAGE
    expected = "gco-stream: --region: missing required value: pass it or set one of DYNAMODB_REGION, REGION, AWS_REGION"
    assert last_line(capsys) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--region", "US EAST"], "--region: invalid value 'US EAST'"),
        (["--region", "us-east-1", "--table", "a b"], "--table: invalid value 'a b'"),
    ],
)
def test_an_invalid_name_is_rejected(options: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("endpoint", "list", *options) == USAGE
    assert expected in last_line(capsys)


def test_missing_credentials_are_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("endpoint", "list", "--region", "us-east-1") == FAILED
    assert last_line(capsys).startswith("gco-stream: no usable AWS credentials: ")


def test_an_invalid_endpoint_url_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "nonsense")
    assert run("endpoint", "list", "--region", "us-east-1") == FAILED
    assert "nonsense" in last_line(capsys)


def test_shell_completion_prints_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    typed: Any = SimpleNamespace(params={})
    assert complete_endpoint(typed, "c") == []
    assert capsys.readouterr() == ("", "")


def test_showing_help_loads_neither_boto3_nor_the_models() -> None:
    code = (
        "import sys; from gco_stream.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = 'boto3', 'botocore', 'aiohttp', 'kubernetes_asyncio', 'gco_stream.model.item.endpoint'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (aws.NotFound("x"), NOT_FOUND),
        (aws.ItemNotFound("x"), NOT_FOUND),
        (aws.ConcurrentUpdate("x"), CONFLICT),
        (aws.AlreadyExists("x"), CONFLICT),
        (aws.Unreachable("x"), UNREACHABLE),
        (aws.Throttled("x"), UNREACHABLE),
        (aws.AccessDenied("x"), FAILED),
        (aws.ItemTooLarge("x"), FAILED),
        (cluster.Unreachable(0, "", "x"), UNREACHABLE),
        (cluster.NotFound(404, "", "x"), NOT_FOUND),
        (cluster.Conflict(409, "", "x"), CONFLICT),
        (cluster.Forbidden(403, "", "x"), FAILED),
        (SettingsError("x"), USAGE),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    failure = command_error_of(error)
    assert failure is not None
    assert (str(failure).startswith("x"), failure.code) == (True, code)


def test_a_bug_in_the_program_is_not_a_failure() -> None:
    assert command_error_of(KeyError("bug")) is None


def test_the_default_table_is_that_of_gco() -> None:
    assert DEFAULT_TABLE == "gco-inference-endpoints"
