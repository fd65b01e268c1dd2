"""Errors of calls to the table and its stream. Independent of botocore, so that every module can import them."""


class AWSError(Exception):
    """A DynamoDB call failed. `code` is DynamoDB's or botocore's error code, or empty for an error of our own."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class NotFound(AWSError):
    """The table, stream or shard does not exist (any more) in this region and account."""


class AccessDenied(AWSError):
    """The credentials are missing, expired, unknown or insufficient for this call."""


class Unreachable(AWSError):
    """No response in time, a server error, or a body that is not from DynamoDB. A write may have succeeded."""


class Throttled(AWSError):
    """DynamoDB throttled the request; nothing was written."""


class Rejected(AWSError):
    """The request is invalid and will never be accepted, so a retry is pointless."""


class ItemTooLarge(Rejected):
    """The item would exceed DynamoDB's limit of 400 KB."""


class Contended(AWSError):
    """Other writers changed the item during every attempt; try again later."""


class ItemNotFound(AWSError):
    """The item to be changed is not in the table."""


class AlreadyExists(AWSError):
    """The item or table to be created already exists."""


class ConcurrentUpdate(AWSError):
    """The item has changed since it was read; nothing was written."""


class Fenced(AWSError):
    """A status with a higher epoch is stored, because another leader has written since.

    `stored_epoch`: that epoch, in microseconds since 1970.
    """

    def __init__(self, message: str, stored_epoch: int) -> None:
        super().__init__(message)
        self.stored_epoch = stored_epoch


class NoStream(AWSError):
    """The table has no stream, or its stream is disabled."""


class StreamEnded(AWSError):
    """The stream has ended or can no longer be read; look up the table's current stream."""


class IteratorExpired(AWSError):
    """The iterator of a shard is invalid or too old (15 minutes)."""


class Trimmed(AWSError):
    """The position in a shard is older than the records that the stream keeps (24 hours)."""
