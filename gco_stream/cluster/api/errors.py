"""Errors of calls to the API server, one class per cause; most are built from the Status object of a response."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

# Beginnings of messages in 500 responses to requests that can never succeed.
_PERMANENT_ERROR_STARTS: Final = ("failed to create typed patch object", "failed to convert new object")
_TOO_LARGE: Final = "request is too large"
_UID_FIELD: Final = "metadata.uid"
# Upper limit for Retry-After, in seconds, because a user's change may be waiting.
_MAX_RETRY_AFTER: Final = 120
# Source address in Go's network errors ("read tcp 10.0.0.1:41234->10.0.0.2:443"). It is removed because its port always
# differs, and a changed message would be reported again.
_CALLING_PORT: Final = re.compile(r"[\w.:\[\]-]+:\d+->")


class ClusterError(Exception):
    """A failed call to the API server.

    `status`: HTTP status (0: no response). `reason` and `details` (causes, name, kind) are those of the Status object
    in the response.
    """

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before a retry, at most 120; None if the server did not specify any."""
        seconds = self.details.get("retryAfterSeconds")
        return float(min(seconds, _MAX_RETRY_AFTER)) if isinstance(seconds, int | float) and seconds > 0 else None

    @property
    def causes(self) -> tuple[Mapping[str, Any], ...]:
        """Causes from the Status object, each with the keys "reason", "message" and "field"."""
        causes = self.details.get("causes")
        return tuple(cause for cause in causes if isinstance(cause, dict)) if isinstance(causes, list) else ()


class Misconfigured(ClusterError):
    """The address of the cluster or the credentials for it are missing or cannot be loaded."""


class Unreachable(ClusterError):
    """No response, or none in time. A write may still have been applied.

    `details["timeout"]`: the timeout in seconds, if a request timed out.
    """


class WatchStalled(Unreachable):
    """A watch received nothing, not even a bookmark. The server may never have issued its resourceVersion."""


class NotLeading(ClusterError):
    """A write was not sent, because this replica no longer holds a valid lease."""


class NotFound(ClusterError):
    """404: the object or its namespace does not exist."""


class Conflict(ClusterError):
    """409: the version or uid does not match, or the object already exists."""

    @property
    def already_exists(self) -> bool:
        """Whether a create failed because the object exists."""
        return self.reason == "AlreadyExists"


class Rejected(ClusterError):
    """The request is invalid and will never be accepted."""


class UidMismatch(ClusterError):
    """The object was deleted and recreated: its name now has another uid."""


class Forbidden(ClusterError):
    """403: access is denied, or the namespace is terminating or does not exist."""


class Unauthorized(ClusterError):
    """401: the credentials are unknown or no longer valid."""


class TooManyRequests(ClusterError):
    """429: the server is overloaded or limits the rate of requests."""


class Expired(ClusterError):
    """410: the resourceVersion or continue token is too old; list again."""


class ServerError(ClusterError):
    """5xx, or a response that is not from the Kubernetes API; retry later."""


_BY_STATUS: Final[Mapping[int, type[ClusterError]]] = {
    400: Rejected,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: Rejected,
    422: Rejected,
    429: TooManyRequests,
}

# Statuses that describe the object. They are trusted only if the response has a Status object: a load balancer's error
# page must not make an object look deleted.
_ABOUT_THE_OBJECT: Final = frozenset({400, 404, 405, 409, 413, 422})


def error_of_status(status: Mapping[str, Any]) -> ClusterError:
    """Returns the error for a Status object, which comes from a response or from a watch's ERROR event."""
    raw_code, raw_details = status.get("code"), status.get("details")
    code = raw_code if isinstance(raw_code, int) else 500
    details = raw_details if isinstance(raw_details, dict) else {}
    message = _CALLING_PORT.sub("", str(status.get("message") or f"the API server returned {code}"))
    kind = _BY_STATUS.get(code, ServerError if code >= 500 else ClusterError)
    error = kind(code, str(status.get("reason") or ""), message, details)
    if code == 422 and any(cause.get("field") == _UID_FIELD for cause in error.causes):
        kind = UidMismatch
    elif code >= 500 and (message.startswith(_PERMANENT_ERROR_STARTS) or _TOO_LARGE in message):
        kind = Rejected
    return kind(code, error.reason, message, details)


def error_of(code: int, payload: bytes, retry_after: str | None = None) -> ClusterError:
    """Returns the error for a response with HTTP status `code` and body `payload`.

    `retry_after`: value of the Retry-After header. It is ignored unless it is a number of seconds.
    """
    try:
        status = orjson.loads(payload)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        # Not a Status object: a proxy's error page, or plain text from a filter in front of the API server.
        text = payload[:200].decode("utf-8", "replace").strip()
        # HTML pages are omitted because they contain request IDs and times, which differ in every response.
        status = {"message": f"HTTP {code}: {text}" if text and not text.startswith("<") else f"HTTP {code}"}
        if code in _ABOUT_THE_OBJECT:
            return ServerError(code, "", f"{status['message']} (not from the Kubernetes API)")
    details = dict(status["details"]) if isinstance(status.get("details"), dict) else {}
    if retry_after is not None and retry_after.isdecimal():
        details.setdefault("retryAfterSeconds", int(retry_after))
    return error_of_status({**status, "code": code, "details": details})
