"""Why a call to the stream did not do what was asked: a small tree, and what botocore's errors are in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import ClientError as HttpError
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError


class StreamError(Exception):
    """The stream did not do what was asked. `code` is DynamoDB's or botocore's name for it, empty where it is ours."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class AccessDenied(StreamError):
    """The credentials are missing, expired or unknown, or they do not allow this call."""


class NoStream(StreamError):
    """The table has no stream, or it is turned off."""


class StreamEnded(StreamError):
    """Nothing more can come from this stream, or nothing can be read of it: look what the table has now."""


class NotFound(StreamError):
    """There is no such stream or shard (any more)."""


class IteratorExpired(StreamError):
    """The iterator is too old (15 minutes), or is not one."""


class Trimmed(StreamError):
    """The place to read on from is older than what the stream keeps (24 hours)."""


class Throttled(StreamError):
    """DynamoDB asks to slow down."""


class Unreachable(StreamError):
    """No answer in time, a server's fault, or a body that is not DynamoDB's."""


class Rejected(StreamError):
    """DynamoDB does not take the request."""


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
    """Raises what botocore, its transport and asyncio.timeout raise inside as StreamError, theirs as its cause."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable("the stream did not answer in time", "Timeout") from error
    except aws.ClientError as error:
        raise _answered(error) from error
    except (aws.BotoCoreError, HttpError, ResponseParserError, OSError) as error:
        code, message = type(error).__name__, " ".join(str(error).split())
        if isinstance(error, _NO_CREDENTIALS):
            raise AccessDenied(f"no usable AWS credentials: {message}", code) from error
        if isinstance(error, aws.ParamValidationError):
            raise Rejected(f"the request cannot be made: {message}", code) from error
        raise Unreachable(f"the stream cannot be reached: {message}", code) from error


def _answered(error: aws.ClientError) -> StreamError:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), " ".join(str(details.get("Message", "")).split())[:500]
    text = f"{code}: {message}" if message else code
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if kind := _KINDS.get(code):
        return kind(text, code)
    if status == 429:
        return Throttled(text, code)
    if status in {401, 403}:
        return AccessDenied(text, code)
    if status >= 500 or status < 400:
        return Unreachable(f"the stream has a fault: {text}", code)
    return Rejected(f"the stream refuses the request: {text}", code)
