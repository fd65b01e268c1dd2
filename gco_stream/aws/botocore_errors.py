"""Conversion of botocore and DynamoDB errors to TableError, and validation of responses to writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from botocore import exceptions as aws

from gco_stream.aws.table_errors import (
    ItemTooLarge,
    TableAccessDenied,
    TableError,
    TableMissing,
    TableRejected,
    TableThrottled,
    TableUnreachable,
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
_NO_ANSWER = (aws.HTTPClientError, aws.ConnectionError, aws.ChecksumError)
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
def table_errors(table: str = "") -> Iterator[None]:
    """Converts botocore errors and TimeoutError to TableError, with the original error as its cause.

    `table`: name of the table for error messages, if the call concerns one.
    """
    try:
        yield
    except TimeoutError as error:
        raise TableUnreachable("DynamoDB did not respond in time", "Timeout") from error
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise table_error(error, table) from error


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Converts the ValueError that botocore raises for an invalid endpoint URL to TableRejected."""
    try:
        yield
    except ValueError as error:
        raise TableRejected(f"cannot create the DynamoDB client: {error}", "Configuration") from error


def table_error(error: Exception, table: str = "") -> TableError:
    """Returns the TableError for a botocore error (BotoCoreError or ClientError)."""
    if isinstance(error, aws.ClientError):
        return _answered(error, table)
    code, message = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, _NO_CREDENTIALS):
        return TableAccessDenied(f"no usable AWS credentials: {message}", code)
    if isinstance(error, _NO_ANSWER + _CREDENTIALS_LATER):
        return TableUnreachable(f"DynamoDB cannot be reached: {message}", code)
    return TableRejected(f"invalid request: {message}", code)


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


def _answered(error: aws.ClientError, table: str) -> TableError:
    code, message = code_of(error), " ".join(message_of(error).split())[:500]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details = f"{code}: {message}" if message else code
    if code in _MISSING:
        return TableMissing(f"table {table} does not exist" if table else message or "resource does not exist", code)
    if code in _THROTTLED or status == 429:
        return TableThrottled(f"DynamoDB throttled the request: {details}", code)
    if code in _DENIED or status in {401, 403}:
        return TableAccessDenied(f"DynamoDB denied access: {details}", code)
    if status >= 500 or status < 400:
        return TableUnreachable(f"DynamoDB server error: {details}", code)
    if message.startswith("Item size"):
        return ItemTooLarge(f"item too large: {details}", code)
    return TableRejected(f"DynamoDB rejected the request: {details}", code)


def returned_item(response: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the item from the response to a write.

    Raises TableUnreachable if the response contains no item, in which case the write may have succeeded.
    """
    item = response.get("Attributes")
    if not item or "endpoint_name" not in item:
        raise TableUnreachable("DynamoDB's response to a write contains no item", "BadBody")
    return dict(item)
