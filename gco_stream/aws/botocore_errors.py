"""Translation of botocore's and DynamoDB's errors into AWSErrors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from gco_stream.aws.errors import (
    AccessDenied,
    AWSError,
    Contended,
    ItemTooLarge,
    IteratorExpired,
    NotFound,
    Rejected,
    Throttled,
    Trimmed,
    Unreachable,
)

CONDITION_FAILED: Final = "ConditionalCheckFailedException"
_MISSING: Final = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "LimitExceededException",
        "TooManyRequestsException",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "ExpiredTokenException",
        "ExpiredToken",
        "InvalidClientTokenId",
        "OptInRequired",
    }
)
# Another write to the same item was in progress: a transaction, or in another region of a strongly consistent table.
_CONTENDED: Final = frozenset({"ReplicatedWriteConflictException", "TransactionConflictException"})
_NO_ANSWER = (aws.HTTPClientError, aws.ConnectionError, aws.ChecksumError, ResponseParserError, OSError)
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.ConfigNotFound,
    aws.SSOError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.InvalidConfigError,
    aws.UnknownCredentialError,
    aws.MissingDependencyException,
)
# Raised by a metadata service, which may be temporarily unreachable.
_CREDENTIALS_LATER = (aws.MetadataRetrievalError,)


@contextmanager
def aws_errors(table: str = "", *, service: str = "DynamoDB") -> Iterator[None]:
    """Converts the errors of a call into AWSError, with the original error as its cause.

    `table` and `service` are the table, if the call concerns one, and the service that messages name.
    """
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"{service} did not respond in time", "Timeout") from error
    except (aws.BotoCoreError, aws.ClientError, ResponseParserError, OSError) as error:
        raise _converted(error, table, service) from error


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Converts the ValueError that botocore raises for an invalid endpoint URL into Rejected."""
    try:
        yield
    except ValueError as error:
        raise Rejected(f"cannot create the DynamoDB client: {error}", "Configuration") from error


def _converted(error: Exception, table: str, service: str) -> AWSError:
    if isinstance(error, aws.ClientError):
        return _answered(error, table, service)
    code, message = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDenied(f"no usable AWS credentials: {message}", code)
    if isinstance(error, _NO_ANSWER + _CREDENTIALS_LATER):
        return Unreachable(f"{service} cannot be reached: {message}", code)
    return Rejected(f"invalid request: {message}", code)


def code_of(error: aws.ClientError) -> str:
    """Returns DynamoDB's error code, or "" if there is none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: aws.ClientError) -> str:
    """Returns DynamoDB's error message, or "" if there is none."""
    return str(error.response.get("Error", {}).get("Message", ""))


def old_item(error: aws.ClientError) -> dict[str, Any] | None:
    """Returns the stored item that failed a condition, or None if there is none.

    The request must set ReturnValuesOnConditionCheckFailure to ALL_OLD.
    """
    return error.response.get("Item") or None


def _answered(error: aws.ClientError, table: str, service: str) -> AWSError:
    code, message = code_of(error), " ".join(message_of(error).split())[:500]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details = f"{code}: {message}" if message else code
    if code in _MISSING:
        return NotFound(f"table {table} does not exist" if table else details, code)
    if code == "ExpiredIteratorException":
        return IteratorExpired(details, code)
    if code == "TrimmedDataAccessException":
        return Trimmed(details, code)
    if code in _THROTTLED or status == 429:
        return Throttled(f"{service} throttled the request: {details}", code)
    if code in _CONTENDED:
        return Contended(f"{service} reports a conflicting write: {details}", code)
    if code in _DENIED or status in {401, 403}:
        return AccessDenied(f"{service} denied access: {details}", code)
    if status >= 500 or status < 400:
        return Unreachable(f"{service} server error: {details}", code)
    if message.startswith("Item size"):
        return ItemTooLarge(f"item too large: {details}", code)
    return Rejected(f"{service} rejected the request: {details}", code)


def returned_item(response: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the item from the response to a write.

    Raises Unreachable if the response is truncated, in which case the write may have succeeded.
    """
    item = response.get("Attributes")
    if not item or "endpoint_name" not in item:
        raise Unreachable("DynamoDB's response to a write contains no item", "BadBody")
    return dict(item)
