"""Metrics and DEBUG logs for calls to the Kubernetes API server and to AWS.

Log messages carry the reconcile's context, so you can trace a stream record to every write that it causes. Calls
outside reconciles (watches, the Lease, stream polling) are counted but not logged, because they would dominate the log.
"""

from http import HTTPStatus
from typing import Final, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

RECONCILE_ID: Final = "reconcile"
"""Context variable with the ID of the current reconcile."""

Service = Literal["dynamodb", "streams"]

OPERATIONS: Final[dict[Service, tuple[str, ...]]] = {
    "dynamodb": ("describe_table", "scan", "get_item", "update_item", "delete_item"),
    "streams": ("describe_stream", "get_shard_iterator", "get_records"),
}
_RESULTS: Final = ("ok", "Throttled", "Unreachable", "AccessDenied", "Rejected")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_OTHER: Final = "other"
_NO_RESPONSE: Final = "<error>"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_log = structlog.get_logger(__name__)


class ApiCallMetrics:
    """Counts, times and logs API calls. Unknown methods and status codes share one label value.

    The `rest_client_*` metrics have client-go's names and labels (k8s.io/component-base/metrics/prometheus/restclient).
    The label `code` is "<error>" if there was no response.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rest = Counter(
            "rest_client_requests_total",
            "Requests to the API server, by HTTP status code, method and host.",
            ["code", "method", "host"],
            registry=registry,
        )
        self._rest_seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Time in seconds from sending a request to the API server to receiving the response headers.",
            ["verb", "host"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._aws = Counter(
            "gco_stream_aws_requests_total",
            "Requests to DynamoDB and DynamoDB Streams. result: ok or the kind of failure (Throttled, Unreachable...).",
            ["service", "operation", "result"],
            registry=registry,
        )
        self._aws_seconds = Histogram(
            "gco_stream_aws_request_duration_seconds",
            "Duration in seconds of a request to DynamoDB or DynamoDB Streams.",
            ["service", "operation"],
            registry=registry,
            buckets=_SECONDS,
        )

        for service, operations in OPERATIONS.items():
            for operation in operations:
                for result in _RESULTS:
                    self._aws.labels(service, operation, result)

    def kubernetes(self, host: str, method: str, path: str, status: int, seconds: float) -> None:
        """Records a request to the API server. `status` is the HTTP status code, or 0 if there was no response."""
        verb = method if method in _METHODS else _OTHER
        self._rest.labels(_code(status), verb, host).inc()
        self._rest_seconds.labels(verb, host).observe(seconds)
        _log_call(verb=method, path=path, status=status or _NO_RESPONSE, seconds=seconds)

    def aws(self, service: Service, operation: str, result: str, seconds: float) -> None:
        """Records a request to AWS. `result` is "ok" or the kind of failure, for example "Throttled"."""
        self._aws.labels(service, operation, result).inc()
        self._aws_seconds.labels(service, operation).observe(seconds)
        _log_call(verb=operation, path=service, status=result, seconds=seconds)


def _code(status: int) -> str:
    """Returns the HTTP status code as a label value; all unknown codes share one series."""
    if not status:
        return _NO_RESPONSE
    return str(status) if status in _KNOWN else _OTHER


_KNOWN: Final = frozenset(int(status) for status in HTTPStatus)


def _log_call(*, verb: str, path: str, status: int | str, seconds: float) -> None:
    if RECONCILE_ID in structlog.contextvars.get_contextvars():
        _log.debug("api call", verb=verb, path=path, status=status, ms=round(seconds * 1000, 1))
