"""Log records: the keys that GCO's operators query, levels and formats."""

import ast
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
import structlog

import gco_stream
from gco_stream.ops.logging import configure_logging
from gco_stream.settings import SettingsError, load_settings

GCO_KEYS = ["timestamp", "level", "logger", "message", "service", "cluster_id", "region"]
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "bind", "bound_contextvars"}

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # pytest has handlers of its own at the root, which basicConfig(force=True) would close.
    monkeypatch.setattr(logging.root, "handlers", [])
    level = logging.root.level
    yield
    logging.root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configure(level: str = "INFO", log_format: Literal["auto", "json", "text", "console"] = "json") -> None:
    configure_logging(level, log_format, cluster_id="gco-us-east-1", region="us-east-1")


def records(capsys: Capture) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_begins_with_gcos_keys_and_ends_with_the_events_own(capsys: Capture) -> None:
    configure()
    structlog.get_logger("gco_stream.engine").info("reconciled", endpoint="chat", took_ms=12)
    (record,) = records(capsys)
    assert list(record) == [*GCO_KEYS, "endpoint", "took_ms"]
    timestamp = datetime.fromisoformat(record.pop("timestamp"))
    assert timestamp.utcoffset() == timedelta(0)
    assert record == {
        "level": "INFO",
        "logger": "gco_stream.engine",
        "message": "reconciled",
        "service": "inference-monitor",
        "cluster_id": "gco-us-east-1",
        "region": "us-east-1",
        "endpoint": "chat",
        "took_ms": 12,
    }


def test_a_record_of_a_library_has_the_same_keys(capsys: Capture) -> None:
    configure()
    logging.getLogger("aiobotocore.credentials").warning("refresh of %s failed", "role")
    (record,) = records(capsys)
    assert list(record) == GCO_KEYS
    assert (record["level"], record["logger"], record["message"]) == (
        "WARNING",
        "aiobotocore.credentials",
        "refresh of role failed",
    )


def test_an_exception_is_logged_as_an_error_with_its_traceback(capsys: Capture) -> None:
    configure()
    try:
        raise KeyError("image")
    except KeyError:
        structlog.get_logger("gco_stream.engine").exception("reconcile broke off")
        logging.getLogger("asyncio").exception("callback failed")
    for record in records(capsys):
        assert record["level"] == "ERROR"
        assert record["exception"].startswith("Traceback")
        assert record["exception"].endswith("KeyError: 'image'")


def test_fields_of_the_context_are_in_each_record_and_replace_no_key_of_gcos(capsys: Capture) -> None:
    configure()
    with structlog.contextvars.bound_contextvars(reconcile="1a2b", region="elsewhere"):
        structlog.get_logger("gco_stream.engine").info("api call", service="dynamodb")
    (record,) = records(capsys)
    assert record["reconcile"] == "1a2b"
    assert (record["service"], record["region"]) == ("inference-monitor", "us-east-1")


def test_no_log_call_has_a_field_named_like_a_key_of_gcos() -> None:
    for path in Path(gco_stream.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS:
                fields = {keyword.arg for keyword in node.keywords}
                assert fields.isdisjoint({*GCO_KEYS, "event", "exception"}), f"{path}:{node.lineno}"


def test_every_logger_of_ours_is_named_after_its_module() -> None:
    for path in Path(gco_stream.__file__).parent.rglob("*.py"):
        assert "get_logger()" not in path.read_text(), path


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("NOTSET", ["debug", "info", "warning", "error", "critical"]),
        ("DEBUG", ["debug", "info", "warning", "error", "critical"]),
        ("INFO", ["info", "warning", "error", "critical"]),
        ("WARN", ["warning", "error", "critical"]),
        ("WARNING", ["warning", "error", "critical"]),
        ("ERROR", ["error", "critical"]),
        ("CRITICAL", ["critical"]),
        ("FATAL", ["critical"]),
    ],
)
def test_records_below_the_level_are_not_logged(capsys: Capture, level: str, logged: list[str]) -> None:
    configure(level)
    for log in (structlog.get_logger("ours"), logging.getLogger("library")):
        for method in ("debug", "info", "warning", "error", "critical"):
            getattr(log, method)("an event")
    found = records(capsys)
    assert [record["level"].lower() for record in found if record["logger"] == "ours"] == logged
    # Libraries log every request at DEBUG, so their records below WARNING are dropped.
    of_libraries = [method for method in logged if method not in {"debug", "info"}]
    assert [record["level"].lower() for record in found if record["logger"] == "library"] == of_libraries


@pytest.mark.parametrize("log_format", ["text", "console"])
def test_text_has_the_event_and_its_fields_in_one_line(capsys: Capture, log_format: Literal["text", "console"]) -> None:
    configure(log_format=log_format)
    structlog.get_logger("gco_stream.engine").warning("reconciled", endpoint="chat")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    for part in ("warning", "reconciled", "gco_stream.engine", "endpoint=chat"):
        assert part in line
    # Text omits the fields that are the same in every record.
    assert "us-east-1" not in line
    assert "inference-monitor" not in line


@pytest.mark.parametrize("terminal", [True, False])
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure(log_format="auto")
    structlog.get_logger("gco_stream.engine").info("started")
    assert capsys.readouterr().err.startswith("{") is not terminal


LEVELS = [name for upper in logging.getLevelNamesMapping() for name in (upper, upper.lower(), upper.title())]


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_name_of_python_is_a_log_level_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("REGION", "us-east-1")
    monkeypatch.setenv("LOG_LEVEL", level)
    assert load_settings().log_level == level.upper()


@pytest.mark.parametrize("log_format", ["auto", "json", "text", "console", "JSON", "Text"])
def test_a_log_format_is_accepted_in_any_case(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    monkeypatch.setenv("REGION", "us-east-1")
    monkeypatch.setenv("LOG_FORMAT", log_format)
    assert load_settings().log_format == log_format.lower()


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT"])
def test_an_unknown_level_or_format_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("REGION", "us-east-1")
    monkeypatch.setenv(name, "LOUD")
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings()
