"""An operation that DynamoDB refuses."""

from typing import Final

_SERVER_FAULTS: Final = frozenset({"InternalServerError", "InternalFailure", "ServiceUnavailable"})


class OperationRefused(Exception):
    """`code` is DynamoDB's name for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with it: everything that is the caller's affair is a 400."""
        return 500 if self.code in _SERVER_FAULTS else 400


def invalid(message: str) -> OperationRefused:
    return OperationRefused("ValidationException", message)


def not_found(message: str) -> OperationRefused:
    return OperationRefused("ResourceNotFoundException", message)
