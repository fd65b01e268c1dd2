"""Each call to the API server and to AWS: counted under the names that operators know, and told in the log at DEBUG.

The log line bears whatever is bound for the reconcile that made the call, so it leads from a stream record to each
write. Calls outside of reconciles (watches, the lease, the polling of the stream) are counted and not told: they would
be most of the log.
"""

from http import HTTPStatus
from typing import Final, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

RECONCILE_ID: Final = "reconcile"
"""The context variable that says in which reconcile a line was written."""

Service = Literal["dynamodb", "streams"]

OPERATIONS: Final[dict[Service, tuple[str, ...]]] = {
    "dynamodb": ("describe_table", "scan", "get_item", "update_item", "delete_item"),
    "streams": ("describe_stream", "get_shard_iterator", "get_records"),
}
_RESULTS: Final = ("ok", "Throttled", "Unreachable", "AccessDenied", "Rejected")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_OTHER: Final = "other"
_NO_ANSWER: Final = "<error>"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_log = structlog.get_logger(__name__)


class ApiCallMetrics:
    """Counts and tells. Every label has few values, whatever a server answers.

    `rest_client_*` have client-go's names and labels (k8s.io/component-base/metrics/prometheus/restclient): `code` is
    "<error>" where no answer came.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rest = Counter(
            "rest_client_requests_total",
            "Requests to the API server by HTTP status, method and host.",
            ["code", "method", "host"],
            registry=registry,
        )
        self._rest_seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Time from a request to the API server to the head of its answer.",
            ["verb", "host"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._aws = Counter(
            "gco_stream_aws_requests_total",
            "Requests to DynamoDB and its streams; result is ok, or the kind of failure (Throttled, Unreachable, ...).",
            ["service", "operation", "result"],
            registry=registry,
        )
        self._aws_seconds = Histogram(
            "gco_stream_aws_request_duration_seconds",
            "Time of one request to DynamoDB or its streams.",
            ["service", "operation"],
            registry=registry,
            buckets=_SECONDS,
        )

        for service, operations in OPERATIONS.items():
            for operation in operations:
                for result in _RESULTS:
                    self._aws.labels(service, operation, result)

    def kubernetes(self, host: str, method: str, path: str, status: int, seconds: float) -> None:
        """A request to the API server was answered with `status`, 0: not at all."""
        verb = method if method in _METHODS else _OTHER
        self._rest.labels(_code(status), verb, host).inc()
        self._rest_seconds.labels(verb, host).observe(seconds)
        _log_call(verb=method, path=path, status=status or _NO_ANSWER, seconds=seconds)

    def aws(self, service: Service, operation: str, result: str, seconds: float) -> None:
        """A request to AWS has ended. `result`: ok, or the kind of failure, of which our own code knows a few."""
        self._aws.labels(service, operation, result).inc()
        self._aws_seconds.labels(service, operation).observe(seconds)
        _log_call(verb=operation, path=service, status=result, seconds=seconds)


def _code(status: int) -> str:
    """The HTTP status where it is a known one: whatever else a server makes up is one series."""
    if not status:
        return _NO_ANSWER
    return str(status) if status in _KNOWN else _OTHER


_KNOWN: Final = frozenset(int(one) for one in HTTPStatus)


def _log_call(*, verb: str, path: str, status: int | str, seconds: float) -> None:
    if RECONCILE_ID in structlog.contextvars.get_contextvars():
        _log.debug("api call", verb=verb, path=path, status=status, ms=round(seconds * 1000, 1))
