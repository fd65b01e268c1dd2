"""Logging configuration: JSON records with GCO's keys in a container, readable text on a terminal."""

import logging
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

SERVICE: Final = "inference-monitor"
"""The `service` of every record: the name that GCO's monitor logs under, so saved queries keep finding its records."""

_DEFAULT_NAME: Final = "gco_stream"


def configure_logging(level: str, log_format: Literal["auto", "json", "text", "console"], **fields: str) -> None:
    """Configures logging to stderr for the process.

    `level`: upper-case name of a level of Python's logging. `log_format`: "auto" selects text on a terminal and JSON
    otherwise. `fields` (cluster_id, region) are added to every JSON record; text records omit them, as GCO's do.
    Records of libraries that use Python's logging have the same format. They are emitted if their level is at least
    WARNING and at least `level`.

    JSON records have the keys of GCO's StructuredJsonFormatter (gco/services/structured_logging.py), because operators
    query them in CloudWatch Logs Insights. Their order is timestamp, level, logger, message, service, `fields`, and
    then the event's own fields.
    """
    threshold = logging.getLevelNamesMapping()[level]
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            _GcoKeys({"service": SERVICE, **fields}),
            structlog.processors.JSONRenderer(_dumps),
        ]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_NamedLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


class _NamedLogger(structlog.WriteLogger):
    """Logger that writes to stderr and keeps the name passed to structlog.get_logger."""

    def __init__(self, name: str = _DEFAULT_NAME) -> None:
        super().__init__(sys.stderr)
        self.name = name


def _add_logger_name(logger: Any, method: str, event_dict: "EventDict") -> "EventDict":
    """Adds the logger's name to the event. Records of Python's logging contain it in `_record`."""
    del method
    record = event_dict.get("_record")
    event_dict["logger"] = logger.name if record is None else record.name
    return event_dict


class _GcoKeys:
    """structlog processor that renames standard keys to GCO's, adds `fields`, and puts all of these first."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __call__(self, logger: Any, method: str, event_dict: "EventDict") -> "EventDict":
        del logger, method
        head = {
            "timestamp": event_dict.pop("timestamp"),
            "level": event_dict.pop("level").upper(),
            "logger": event_dict.pop("logger"),
            "message": event_dict.pop("event"),
            **self._fields,
        }
        # The first `head` sets the order; the second prevents an event's own field from replacing one of these keys.
        return {**head, **event_dict, **head}


def _dumps(value: object, **options: object) -> str:
    del options
    return orjson.dumps(value, default=str).decode()
