"""Errors of calls to the stream, and the conversion of botocore and HTTP errors to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import ClientError as HttpError
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError


class StreamError(Exception):
    """A call to the stream failed. `code`: error code from DynamoDB or botocore, or "" for an error from gco-stream."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class AccessDenied(StreamError):
    """The credentials are missing, expired, unknown or insufficient for this call."""


class NoStream(StreamError):
    """The table has no stream, or its stream is disabled."""


class StreamEnded(StreamError):
    """The stream has ended or can no longer be read; look up the table's current stream."""


class NotFound(StreamError):
    """The stream or shard does not exist or no longer exists."""


class IteratorExpired(StreamError):
    """The shard iterator has expired, which happens 15 minutes after it was returned."""


class Trimmed(StreamError):
    """The position in the shard is older than the oldest record that the stream retains (24 hours)."""


class Throttled(StreamError):
    """DynamoDB throttled the request."""


class Unreachable(StreamError):
    """No response in time, a server error, or a body that is not from DynamoDB."""


class Rejected(StreamError):
    """DynamoDB rejected the request as invalid."""


_KINDS: Final = {
    "ResourceNotFoundException": NotFound,
    "ExpiredIteratorException": IteratorExpired,
    "TrimmedDataAccessException": Trimmed,
    **dict.fromkeys(
        (
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        Throttled,
    ),
    **dict.fromkeys(
        (
            "AccessDeniedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignatureException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationTokenException",
            "OptInRequired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        AccessDenied,
    ),
}
_NO_CREDENTIALS: Final = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.ConfigNotFound,
    aws.SSOError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
)


@contextmanager
def stream_errors() -> Iterator[None]:
    """Converts botocore, HTTP and timeout errors to StreamError, with the original error as its cause."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable("the stream did not respond in time", "Timeout") from error
    except aws.ClientError as error:
        raise _answered(error) from error
    except (aws.BotoCoreError, HttpError, ResponseParserError, OSError) as error:
        code, message = type(error).__name__, " ".join(str(error).split())
        if isinstance(error, _NO_CREDENTIALS):
            raise AccessDenied(f"no usable AWS credentials: {message}", code) from error
        if isinstance(error, aws.ParamValidationError):
            raise Rejected(f"invalid request: {message}", code) from error
        raise Unreachable(f"the stream cannot be reached: {message}", code) from error


def _answered(error: aws.ClientError) -> StreamError:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), " ".join(str(details.get("Message", "")).split())[:500]
    details = f"{code}: {message}" if message else code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if kind := _KINDS.get(code):
        return kind(details, code)
    if status == 429:
        return Throttled(details, code)
    if status in {401, 403}:
        return AccessDenied(details, code)
    if status >= 500 or status < 400:
        return Unreachable(f"stream server error: {details}", code)
    return Rejected(f"the stream rejected the request: {details}", code)
