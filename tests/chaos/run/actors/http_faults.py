"""Random faults of the proxies, as values; the report counts them by name."""

import random
from collections.abc import Callable

import orjson

from tests.chaos.proxies.faulty_http import (
    Answer,
    CutAfter,
    Delay,
    Fault,
    Hang,
    LoseResponse,
    Request,
    Reset,
    Rewrite,
    Silence,
    Swallow,
    Trickle,
)

_JSON = {"Content-Type": "application/json"}
_AMAZON = {"Content-Type": "application/x-amz-json-1.0"}


def _any(_: Request) -> bool:
    return True


def _is_write(request: Request) -> bool:
    return request.method != "GET"


def _is_watch(request: Request) -> bool:
    return request.is_watch


def _is_read(request: Request) -> bool:
    return request.method == "GET" and not request.is_watch


def _operation(*operations: str) -> Callable[[Request], bool]:
    return lambda request: request.headers.get("X-Amz-Target", "").rpartition(".")[2] in operations


def _refusal(code: int, reason: str, **headers: str) -> Answer:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
        "message": reason,
    }
    return Answer(code, orjson.dumps(status), {**_JSON, **headers})


def _complaint(name: str, status: int = 400) -> Answer:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": f"{name}, says the proxy"}
    return Answer(status, orjson.dumps(body), _AMAZON)


def of_cluster(rng: random.Random) -> Fault:
    """Returns a fault of the API server or of the network in front of it."""
    share = rng.choice((0.1, 0.3, 0.6, 1.0))
    retry = {"Retry-After": "1"}
    return rng.choice(
        (
            Fault("API server: 500", _any, _refusal(500, "InternalError"), share),
            Fault("API server: 503", _any, _refusal(503, "ServiceUnavailable"), share),
            Fault("API server: 429", _any, _refusal(429, "TooManyRequests", **retry), share),
            Fault("API server: 504", _is_write, _refusal(504, "Timeout"), share),
            Fault("API server: 409", _is_write, _refusal(409, "Conflict"), min(share, 0.3)),
            Fault("API server: 403", _any, _refusal(403, "Forbidden"), min(share, 0.3)),
            Fault("API server: no answer", _any, Hang(), min(share, 0.3)),
            Fault("API server: connection reset", _any, Reset(), share),
            Fault("API server: answer lost", _is_write, LoseResponse(), share),
            Fault("API server: answer never comes", _is_write, Swallow(), min(share, 0.3)),
            Fault("API server: slow", _any, Delay(rng.uniform(0.1, 2.0)), share),
            Fault("API server: trickles", _is_read, Trickle(20_000), share),
            Fault("API server: answer cut", _is_read, CutAfter(rng.randrange(2000)), share),
            Fault("API server: half an answer", _is_read, Rewrite(lambda body: body[: len(body) // 2]), share),
            Fault("API server: watch cut", _is_watch, CutAfter(rng.randrange(100, 5000)), share),
            Fault("API server: watch silent", _is_watch, Silence(), share),
            Fault("API server: watch expired", _is_watch, _refusal(410, "Expired"), share),
        )
    )


def of_table(rng: random.Random) -> Fault:
    """Returns a fault of DynamoDB, of its streams, or of the network in front of them."""
    share = rng.choice((0.1, 0.3, 0.6, 1.0))
    writes, reads = _operation("UpdateItem", "DeleteItem"), _operation("GetRecords")
    pages = _operation("Scan", "GetRecords", "GetItem")
    return rng.choice(
        (
            Fault("DynamoDB: throttled", _any, _complaint("ProvisionedThroughputExceededException"), share),
            Fault("DynamoDB: throttled too", _any, _complaint("ThrottlingException"), share),
            Fault("DynamoDB: 500", _any, _complaint("InternalServerError", 500), share),
            Fault("DynamoDB: 503", _any, Answer(503, b"Service Unavailable"), share),
            Fault("DynamoDB: limit exceeded", reads, _complaint("LimitExceededException"), share),
            Fault("DynamoDB: iterator expired", reads, _complaint("ExpiredIteratorException"), share),
            Fault("DynamoDB: trimmed", reads, _complaint("TrimmedDataAccessException"), min(share, 0.3)),
            Fault("DynamoDB: shard not found", reads, _complaint("ResourceNotFoundException"), min(share, 0.3)),
            Fault("DynamoDB: access denied", reads, _complaint("AccessDeniedException"), 0.05),
            Fault("DynamoDB: no answer", _any, Hang(), min(share, 0.3)),
            Fault("DynamoDB: connection reset", _any, Reset(), share),
            Fault("DynamoDB: answer lost", writes, LoseResponse(), share),
            Fault("DynamoDB: answer never comes", writes, Swallow(), share),
            Fault("DynamoDB: slow", _any, Delay(rng.uniform(0.1, 1.5)), share),
            Fault("DynamoDB: answer cut", _any, CutAfter(rng.randrange(500)), min(share, 0.3)),
            Fault("DynamoDB: half an answer", pages, Rewrite(lambda body: body[: len(body) // 2]), share),
            Fault("DynamoDB: empty answer", pages, Rewrite(lambda _: b"{}"), share),
            Fault("DynamoDB: a page of a captive portal", pages, Rewrite(lambda _: b"<html>log in</html>"), share),
        )
    )


def unauthorized() -> Fault:
    """Returns the fault of an expired token."""
    return Fault("API server: 401", _any, _refusal(401, "Unauthorized"))
