import orjson
import pytest

from gco_stream.cluster.api import errors


def status(code: int, message: str = "no", reason: str = "", **details: object) -> bytes:
    return orjson.dumps({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details})


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, errors.Rejected),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.ClusterError),
        (409, errors.Conflict),
        (410, errors.Expired),
        (413, errors.Rejected),
        (422, errors.Rejected),
        (429, errors.TooManyRequests),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (504, errors.ServerError),
    ],
)
def test_each_status_has_its_error(code: int, expected: type[errors.ClusterError]) -> None:
    error = errors.error_of(code, status(code, "because"))
    assert type(error) is expected
    assert (error.status, str(error)) == (code, "because")


def test_a_uid_mismatch_is_recognized_by_its_cause() -> None:
    cause = {"field": "metadata.uid", "reason": "FieldValueInvalid", "message": "field is immutable"}
    assert type(errors.error_of(422, status(422, causes=[cause]))) is errors.UidMismatch
    assert type(errors.error_of(422, status(422, causes=[{**cause, "field": "spec"}]))) is errors.Rejected


@pytest.mark.parametrize(
    "message",
    [
        "failed to create typed patch object (ns/b; apps/v1, Kind=Deployment): .spec.replicas: expected numeric",
        "failed to convert new object (ns/b; apps/v1, Kind=Deployment) to proper version: quantities must match",
        "etcdserver: request is too large",
    ],
)
def test_a_500_that_can_never_succeed_is_a_rejection(message: str) -> None:
    assert type(errors.error_of(500, status(500, message))) is errors.Rejected
    assert type(errors.error_of(500, status(500, "etcdserver: leader changed"))) is errors.ServerError


def test_the_time_to_wait_comes_from_the_header_or_the_details() -> None:
    assert errors.error_of(429, b"slow down", "7").retry_after == 7
    assert errors.error_of(504, status(504, retryAfterSeconds=3)).retry_after == 3
    assert errors.error_of(429, b"", "Wed, 21 Oct 2026 07:28:00 GMT").retry_after is None
    assert errors.error_of(500, status(500, retryAfterSeconds=0)).retry_after is None


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b"null", b'{"kind":"Status","details":3}'])
def test_a_response_without_a_status_object_is_an_error_by_its_code(body: bytes) -> None:
    error = errors.error_of(502, body)
    assert type(error) is errors.ServerError
    assert error.message
    assert error.causes == ()


def test_already_exists_is_distinguished_from_other_conflicts() -> None:
    exists = errors.error_of(409, status(409, reason="AlreadyExists"))
    assert isinstance(exists, errors.Conflict)
    assert exists.already_exists
    modified = errors.error_of(409, status(409, reason="Conflict"))
    assert isinstance(modified, errors.Conflict)
    assert not modified.already_exists
