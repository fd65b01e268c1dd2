"""What the API server's answers mean to us: a small tree, made of the Status objects that it sends."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

# Some requests are wrong for good though the server says 500; these are its words for them.
_PERMANENT_ERROR_STARTS: Final = ("failed to create typed patch object", "failed to convert new object")
_TOO_LARGE: Final = "request is too large"
_UID_FIELD: Final = "metadata.uid"
# No server knows that it will be overloaded for longer, and what it stands in the way of may be a user's wish.
_MAX_RETRY_AFTER: Final = 120
# "read tcp 10.0.0.1:41234->10.0.0.2:443": another port each time, and a fault is reported anew when its words change.
_CALLING_PORT: Final = re.compile(r"[\w.:\[\]-]+:\d+->")


class ClusterError(Exception):
    """The API server did not do what was asked.

    `status` is the HTTP status (0: there was no answer), `reason` the Status object's reason, `details` its details
    (causes, name, kind), `retry_after` the seconds that the server asks to wait, where it asks.
    """

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before another try, where the server named them; at most 120."""
        seconds = self.details.get("retryAfterSeconds")
        return float(min(seconds, _MAX_RETRY_AFTER)) if isinstance(seconds, int | float) and seconds > 0 else None

    @property
    def causes(self) -> tuple[Mapping[str, Any], ...]:
        """The Status object's causes: {"reason", "message", "field"} each."""
        causes = self.details.get("causes")
        return tuple(cause for cause in causes if isinstance(cause, dict)) if isinstance(causes, list) else ()


class Misconfigured(ClusterError):
    """There is no usable kubeconfig and no service account: nobody to talk to."""


class Unreachable(ClusterError):
    """No answer: no connection, or none in time. A write may have happened all the same.

    `details["timeout"]`: the seconds that it was waited for, where it was.
    """


class WatchStalled(Unreachable):
    """A watch that says nothing though bookmarks are due: it may be following a version that never was."""


class NotLeading(ClusterError):
    """A write that was refused here: the lease is no longer proven, so another may lead."""


class NotFound(ClusterError):
    """404: there is no such object (or no such namespace)."""


class Conflict(ClusterError):
    """409: the object is not as the request supposed (version, uid of an absent object, or it exists already)."""

    @property
    def already_exists(self) -> bool:
        """Whether it was a creation of something that exists."""
        return self.reason == "AlreadyExists"


class Rejected(ClusterError):
    """The object or the request is wrong for good: the same one will never be accepted."""


class UidMismatch(ClusterError):
    """The name belongs to another object now: it was deleted and made again."""


class Forbidden(ClusterError):
    """403: not allowed, or the namespace does not exist (RBAC answers so), or it is terminating."""


class Unauthorized(ClusterError):
    """401: the credentials are not (or no longer) known."""


class TooManyRequests(ClusterError):
    """429: the server is overloaded, or an eviction or priority rule says to wait."""


class Expired(ClusterError):
    """410: the resourceVersion or continue token is too old; list again."""


class ServerError(ClusterError):
    """5xx, or an answer that is not the API server's: try again later."""


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

# What these say of an object is true only in the API server's own words: a balancer's page knows nothing of it, and one
# that is taken for gone is forgotten.
_ABOUT_THE_OBJECT: Final = frozenset({400, 404, 405, 409, 413, 422})


def error_of_status(status: Mapping[str, Any]) -> ClusterError:
    """The error that a Status object (of an answer, or of a watch's ERROR event) stands for."""
    raw_code, raw_details = status.get("code"), status.get("details")
    code = raw_code if isinstance(raw_code, int) else 500
    details = raw_details if isinstance(raw_details, dict) else {}
    message = _CALLING_PORT.sub("", str(status.get("message") or f"the API server answered {code}"))
    kind = _BY_STATUS.get(code, ServerError if code >= 500 else ClusterError)
    error = kind(code, str(status.get("reason") or ""), message, details)
    if code == 422 and any(cause.get("field") == _UID_FIELD for cause in error.causes):
        kind = UidMismatch
    elif code >= 500 and (message.startswith(_PERMANENT_ERROR_STARTS) or _TOO_LARGE in message):
        kind = Rejected
    return kind(code, error.reason, message, details)


def error_of(code: int, payload: bytes, retry_after: str | None = None) -> ClusterError:
    """The error of an answer with this HTTP status, body and Retry-After header (whole seconds)."""
    try:
        status = orjson.loads(payload)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        # Not the API server's own words: a proxy's page, or a plain text line of a filter in front of it.
        text = payload[:200].decode("utf-8", "replace").strip()
        # Pages show request numbers and times.
        status = {"message": f"HTTP {code}: {text}" if text and not text.startswith("<") else f"HTTP {code}"}
        if code in _ABOUT_THE_OBJECT:
            return ServerError(code, "", f"{status['message']} (not from the Kubernetes API)")
    details = dict(status["details"]) if isinstance(status.get("details"), dict) else {}
    if retry_after is not None and retry_after.isdecimal():
        details.setdefault("retryAfterSeconds", int(retry_after))
    return error_of_status({**status, "code": code, "details": details})
