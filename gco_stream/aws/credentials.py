"""Credentials that are looked for again: those that were missing, and those that a file holds.

botocore looks for credentials once, when a client is made. Where it finds none it never looks again, and a file's it
keeps for ever, though somebody may put new ones there before they expire. What renews itself (a role, a metadata
service, a process that tells an expiry) is botocore's business, but not all that goes wrong in there is told by
botocore's own errors: a process that prints nothing sensible, a token's file that is missing, credentials that have
expired when they come. All of it is made one of botocore's here, so nothing else needs to know.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from aiobotocore.credentials import create_credential_resolver
from botocore import exceptions as aws

_log = structlog.get_logger(__name__)

# Less than a call to DynamoDB may take, whose time this is: else that call would be said not to have been answered.
_TIMEOUT: Final = 4.0
# As soon as somebody who has mended it would look; a search may ask a metadata service that does not answer.
_SEARCH_AGAIN_SECONDS: Final = 5.0
_READ_AGAIN_SECONDS: Final = 10.0
_REMOTE_METHODS: Final = "where they are kept"
_FILE_METHODS: Final = frozenset({"shared-credentials-file", "config-file"})


class ReloadingCredentials:
    """Stands in for both of a session's parts: what finds its credentials, and what they are.

    `find` looks where botocore looks, raises what botocore raises, and gives None where there are none. `clock`:
    monotonic seconds.
    """

    method = None

    def __init__(self, find: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._current_credentials: Any = None
        self._problem: Exception = aws.NoCredentialsError()
        self._due = float("-inf")

    async def load_credentials(self) -> "ReloadingCredentials":
        """As botocore's resolver, but it finds them when they are needed."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """The keys as they are now, for one request. Raises BotoCoreError."""
        async with _botocores_errors():
            return await (await self._current()).get_frozen_credentials()

    async def get_account_id(self) -> str | None:
        """The account that they belong to, where that is known. Raises BotoCoreError."""
        async with _botocores_errors():
            account = (await self._current()).get_account_id()
            known: str | None = await account if asyncio.iscoroutine(account) else account
        return known

    def get_deferred_property(self, _name: str) -> Callable[[], None]:
        """As botocore's, of which aiobotocore asks nothing: it takes the methods above."""
        return lambda: None

    async def _current(self) -> Any:
        async with self._one_at_a_time:
            if self._is_due():
                await self._find_again()
        if self._current_credentials is None:
            # Raised again and again, it would gather the places where it was.
            raise self._problem.with_traceback(None)
        return self._current_credentials

    def _is_due(self) -> bool:
        settled = self._current_credentials is not None and self._current_credentials.method not in _FILE_METHODS
        return not settled and self._clock() >= self._due

    async def _find_again(self) -> None:
        try:
            async with _botocores_errors():
                found = await self._find()
        except aws.BotoCoreError as error:
            found, self._problem = None, error
            _log.warning(
                "credentials cannot be read", error=str(error), former_ones_used=self._current_credentials is not None
            )
        else:
            self._problem = aws.NoCredentialsError()
        # A file that is being written anew may be incomplete: what was read before holds until it is not.
        self._current_credentials = found or self._current_credentials
        self._due = self._clock() + (_READ_AGAIN_SECONDS if found else _SEARCH_AGAIN_SECONDS)


def credentials_of(session: Any) -> ReloadingCredentials:
    """The credentials that a session's environment, files and services give."""
    # botocore tells each renewal that fails with a traceback, for each call that waits for it; callers use words.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)
    logging.getLogger("aiobotocore.credentials").setLevel(logging.ERROR)

    async def find() -> Any:
        return await create_credential_resolver(session).load_credentials()

    return ReloadingCredentials(find)


@asynccontextmanager
async def _botocores_errors() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT):
            yield
    except aws.BotoCoreError:
        raise
    except TimeoutError as error:
        raise aws.MetadataRetrievalError(error_msg=f"no credentials for {_TIMEOUT:g} s") from error
    except aws.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise aws.MetadataRetrievalError(error_msg=f"no credentials: {error}") from error
        raise aws.CredentialRetrievalError(provider=_REMOTE_METHODS, error_msg=str(error)) from error
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise aws.CredentialRetrievalError(provider=_REMOTE_METHODS, error_msg=message) from error
