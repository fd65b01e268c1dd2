"""Errors of operations that DynamoDB rejects."""

from typing import Final

_SERVER_FAULTS: Final = frozenset({"InternalServerError", "InternalFailure", "ServiceUnavailable"})


class OperationRefused(Exception):
    """`code` is DynamoDB's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status of the error: 400 for everything that the caller caused."""
        return 500 if self.code in _SERVER_FAULTS else 400


def invalid(message: str) -> OperationRefused:
    return OperationRefused("ValidationException", message)


def not_found(message: str) -> OperationRefused:
    return OperationRefused("ResourceNotFoundException", message)
