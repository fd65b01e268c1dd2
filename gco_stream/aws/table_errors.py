"""Why a call to the table did not do what was asked: a small tree, free of botocore so that anyone may import it."""

# DynamoDB's own situations (Gone, Superseded) are clearer than the same with "Error" behind.


class TableError(Exception):
    """DynamoDB did not do what was asked. `code` is DynamoDB's or botocore's name for it, empty where it is ours."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class TableMissing(TableError):
    """There is no table of this name in this region and account (ResourceNotFoundException)."""


class TableAccessDenied(TableError):
    """The credentials are missing, expired or unknown, or they do not allow this call."""


class TableUnreachable(TableError):
    """No answer in time, a server's fault, or a body that is not DynamoDB's. A write may have happened all the same."""


class TableThrottled(TableError):
    """DynamoDB asks to slow down; nothing was written."""


class TableRejected(TableError):
    """The request is wrong for good: the same one will never be accepted."""


class ItemTooLarge(TableRejected):
    """The item would be larger than DynamoDB's 400 KB."""


class Contended(TableError):
    """The item changed under every attempt: try again later."""


class ItemNotFound(TableError):
    """The item that was to be changed is not in the table."""


class AlreadyExists(TableError):
    """The item or table that was to be created is there already."""


class ConcurrentUpdate(TableError):
    """The item is not as it was read: somebody else was faster, and nothing was written."""


class Fenced(TableError):
    """A status of a higher epoch is stored: another leader has written since. `stored_epoch` is in microseconds."""

    def __init__(self, message: str, stored_epoch: int) -> None:
        super().__init__(message)
        self.stored_epoch = stored_epoch
