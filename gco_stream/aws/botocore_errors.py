"""What botocore's and DynamoDB's errors mean to us. The one place that knows their names."""

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
# What fetches credentials from elsewhere (a metadata service, STS) fails for want of a network, too.
_CREDENTIALS_LATER = (aws.MetadataRetrievalError,)


@contextmanager
def table_errors(table: str = "") -> Iterator[None]:
    """Raises what botocore and asyncio.timeout raise inside as TableError, botocore's as its cause.

    `table` says which table it is about, where a call names one.
    """
    try:
        yield
    except TimeoutError as error:
        raise TableUnreachable("DynamoDB did not answer in time", "Timeout") from error
    except (aws.BotoCoreError, aws.ClientError) as error:
        raise table_error(error, table) from error


@contextmanager
def configuration_errors() -> Iterator[None]:
    """Raises the ValueError that botocore has for an endpoint that is no URL as TableRejected."""
    try:
        yield
    except ValueError as error:
        raise TableRejected(f"DynamoDB's client cannot be made: {error}", "Configuration") from error


def table_error(error: Exception, table: str = "") -> TableError:
    """The TableError that stands for one of botocore's (BotoCoreError, ClientError)."""
    if isinstance(error, aws.ClientError):
        return _answered(error, table)
    code, message = type(error).__name__, " ".join(str(error).split())
    if isinstance(error, _NO_CREDENTIALS):
        return TableAccessDenied(f"no usable AWS credentials: {message}", code)
    if isinstance(error, _NO_ANSWER + _CREDENTIALS_LATER):
        return TableUnreachable(f"DynamoDB cannot be reached: {message}", code)
    return TableRejected(f"the request cannot be made: {message}", code)


def code_of(error: aws.ClientError) -> str:
    """DynamoDB's name for what is wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: aws.ClientError) -> str:
    """DynamoDB's sentence about it."""
    return str(error.response.get("Error", {}).get("Message", ""))


def old_item(error: aws.ClientError) -> dict[str, Any] | None:
    """The item that failed a condition (ReturnValuesOnConditionCheckFailure=ALL_OLD), None where there is none."""
    return error.response.get("Item") or None


def _answered(error: aws.ClientError, table: str) -> TableError:
    code, message = code_of(error), " ".join(message_of(error).split())[:500]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"{code}: {message}" if message else code
    if code in _MISSING:
        return TableMissing(f"there is no table {table}" if table else message or "no such resource", code)
    if code in _THROTTLED or status == 429:
        return TableThrottled(f"DynamoDB is throttling: {text}", code)
    if code in _DENIED or status in {401, 403}:
        return TableAccessDenied(f"DynamoDB does not allow this: {text}", code)
    if status >= 500 or status < 400:
        return TableUnreachable(f"DynamoDB has a fault: {text}", code)
    if message.startswith("Item size"):
        return ItemTooLarge(f"the item would be too large: {text}", code)
    return TableRejected(f"DynamoDB refuses the request: {text}", code)


def returned_item(response: Mapping[str, Any]) -> dict[str, Any]:
    """The item that a write returned. Raises TableUnreachable where the answer was cut: the write may have happened."""
    item = response.get("Attributes")
    if not item or "endpoint_name" not in item:
        raise TableUnreachable("DynamoDB's answer to a write has no item in it", "BadBody")
    return dict(item)
