"""Errors of calls to the table. Independent of botocore, so that every module can import them."""


class TableError(Exception):
    """A DynamoDB call failed. `code` is DynamoDB's or botocore's error code, or empty for an error of our own."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class TableMissing(TableError):
    """The table does not exist in this region and account (ResourceNotFoundException)."""


class TableAccessDenied(TableError):
    """The credentials are missing, expired, unknown or insufficient for this call."""


class TableUnreachable(TableError):
    """No response in time, a server error, or a body that is not from DynamoDB. A write may have succeeded."""


class TableThrottled(TableError):
    """DynamoDB throttled the request; nothing was written."""


class TableRejected(TableError):
    """The request is invalid and will never be accepted, so a retry is pointless."""


class ItemTooLarge(TableRejected):
    """The item would exceed DynamoDB's limit of 400 KB."""


class Contended(TableError):
    """The item changed during every attempt; try again later."""


class ItemNotFound(TableError):
    """The item to be changed is not in the table."""


class AlreadyExists(TableError):
    """The item or table to be created already exists."""


class ConcurrentUpdate(TableError):
    """The item has changed since it was read; nothing was written."""


class Fenced(TableError):
    """A status with a higher epoch is stored, because another leader has written since.

    `stored_epoch` is in microseconds.
    """

    def __init__(self, message: str, stored_epoch: int) -> None:
        super().__init__(message)
        self.stored_epoch = stored_epoch
