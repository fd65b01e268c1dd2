"""Errors of calls to the table. They do not depend on botocore, so any module can import them."""


class TableError(Exception):
    """A call to the table failed. `code`: error code from DynamoDB or botocore, or "" for an error from gco-stream."""

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
    """The request is invalid and will never be accepted."""


class ItemTooLarge(TableRejected):
    """The item would exceed DynamoDB's limit of 400 KB."""


class Contended(TableError):
    """Other writers changed the item during every attempt; try again later."""


class ItemNotFound(TableError):
    """The item to be changed is not in the table."""


class AlreadyExists(TableError):
    """The item or table to be created already exists."""


class ConcurrentUpdate(TableError):
    """The item has changed since it was read; nothing was written."""


class Fenced(TableError):
    """The item has a status with a higher epoch, which a newer leader has written.

    `stored_epoch`: that epoch, in microseconds since 1970.
    """

    def __init__(self, message: str, stored_epoch: int) -> None:
        super().__init__(message)
        self.stored_epoch = stored_epoch
