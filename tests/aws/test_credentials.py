"""Credentials that are missing, are refreshed, or fail in ways for which botocore has no error."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from botocore import exceptions as aws

from gco_stream.aws.credentials import ReloadingCredentials


class Source:
    """The place where botocore looks for credentials: gives the answers in turn, then repeats the last one."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked = 0
        self.now = 100.0
        self.credentials = ReloadingCredentials(self._find, lambda: self.now)

    async def _find(self) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def key(self, after: float = 0.0) -> str:
        self.now += after
        return str((await self.credentials.get_frozen_credentials()).access_key)


def from_a_file(key: str) -> AioCredentials:
    return AioCredentials(key, "secret", method="shared-credentials-file")


def renewing(renew: Callable[[], Awaitable[Any]]) -> AioRefreshableCredentials:
    return AioRefreshableCredentials(
        "old", "secret", "token", datetime.now(UTC) - timedelta(hours=1), refresh_using=renew, method="assume-role"
    )


async def test_a_file_is_read_again_and_the_environment_is_not() -> None:
    file = Source(from_a_file("first"), from_a_file("second"))
    assert [await file.key() for _ in range(3)] == ["first"] * 3
    assert (await file.key(after=10), file.asked) == ("second", 2)
    environment = Source(AioCredentials("first", "secret", method="env"), AioCredentials("second", "secret"))
    await environment.key()
    assert (await environment.key(after=1000), environment.asked) == ("first", 1)


@pytest.mark.parametrize("bad", [None, aws.ConfigParseError(path="credentials"), ValueError("incomplete line")])
async def test_previous_credentials_stay_while_the_file_is_missing_or_incomplete(bad: Any) -> None:
    file = Source(from_a_file("first"), bad, from_a_file("second"))
    await file.key()
    assert await file.key(after=10) == "first"
    assert await file.key(after=5) == "second"


async def test_missing_credentials_are_looked_up_again_but_not_on_every_call() -> None:
    source = Source(None, from_a_file("first"))
    results = await asyncio.gather(*(source.key() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {aws.NoCredentialsError}
    assert source.asked == 1
    assert await source.key(after=5) == "first"


async def renewed_to_expired() -> dict[str, str]:
    expiry = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {"access_key": "new", "secret_key": "secret", "token": "token", "expiry_time": expiry}


def raising(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def renew() -> Any:
        raise error

    return renew


@pytest.mark.parametrize(
    ("renew", "words"),
    [
        (raising(ValueError("Expecting value: line 1")), "Expecting value"),
        (raising(FileNotFoundError("no token")), "no token"),
        (raising(KeyError("AccessKeyId")), "AccessKeyId"),
        (renewed_to_expired, "still expired"),
        (raising(aws.ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole")), "AccessDenied"),
    ],
)
async def test_every_refresh_failure_becomes_a_botocore_error(renew: Callable[[], Awaitable[Any]], words: str) -> None:
    source = Source(renewing(renew))
    with pytest.raises(aws.CredentialRetrievalError, match=words):
        await source.key()


async def test_a_temporary_service_failure_is_not_a_lack_of_permissions() -> None:
    response = {"Error": {"Code": "500"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    source = Source(renewing(raising(aws.ClientError(response, "AssumeRoleWithWebIdentity"))))
    with pytest.raises(aws.MetadataRetrievalError, match="AssumeRoleWithWebIdentity"):
        await source.key()


@pytest.mark.looptime
async def test_an_unresponsive_source_is_reported_before_the_call_times_out() -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    source = Source(renewing(never))
    with pytest.raises(aws.MetadataRetrievalError, match="no credentials within 4 s"):
        async with asyncio.timeout(5):
            await source.key()


async def test_the_account_is_known_if_the_source_provides_it() -> None:
    source = Source(AioCredentials("key", "secret", method="env", account_id="123456789012"))
    assert await source.credentials.get_account_id() == "123456789012"
