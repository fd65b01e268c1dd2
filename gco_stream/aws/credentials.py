"""AWS credentials that are looked up again until they are found, and reloaded if they come from a file.

botocore looks up credentials once, when a client is created. If it finds none, it never tries again. Credentials from a
file are never reloaded, even if the file is replaced before they expire.

botocore refreshes credentials that expire (from a role, a metadata service, or a process that reports an expiry). It
does not raise all failures as botocore errors: for example, invalid output from a process, a missing token file, or
credentials that have already expired when they arrive. This module converts them, so no other code has to handle them.
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

# Maximum seconds to wait for credentials. Shorter than the timeout of a DynamoDB call, which includes this wait;
# otherwise, the error would be that DynamoDB did not respond.
_TIMEOUT: Final = 4.0
# Seconds until a failed lookup is repeated. A fix should take effect soon, but a lookup may wait for a metadata service
# that does not respond.
_SEARCH_AGAIN_SECONDS: Final = 5.0
# Seconds until credentials from a file are reloaded.
_READ_AGAIN_SECONDS: Final = 10.0
_REMOTE_METHODS: Final = "their source"
_FILE_METHODS: Final = frozenset({"shared-credentials-file", "config-file"})


class ReloadingCredentials:
    """Replacement for a session's credential resolver and for the credentials that it returns.

    `find` looks up credentials in the same places as botocore and returns None if there are none. `clock` returns
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
        """Implements the resolver's interface. The actual lookup happens when credentials are needed."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """Returns the current keys for one request. Raises BotoCoreError."""
        async with _botocores_errors():
            return await (await self._current()).get_frozen_credentials()

    async def get_account_id(self) -> str | None:
        """Returns the AWS account ID of the credentials, or None if it is unknown. Raises BotoCoreError."""
        async with _botocores_errors():
            account = (await self._current()).get_account_id()
            known: str | None = await account if asyncio.iscoroutine(account) else account
        return known

    def get_deferred_property(self, _name: str) -> Callable[[], None]:
        """Implements botocore's interface. aiobotocore does not use it; it calls the methods above instead."""
        return lambda: None

    async def _current(self) -> Any:
        async with self._one_at_a_time:
            if self._is_due():
                await self._find_again()
        if self._current_credentials is None:
            # Without this, an exception that is raised repeatedly would accumulate traceback entries.
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
                "credential lookup failed", error=str(error), using_previous=self._current_credentials is not None
            )
        else:
            self._problem = aws.NoCredentialsError()
        # A file that is being rewritten may be incomplete, so the previous credentials stay in use until it can be
        # read.
        self._current_credentials = found or self._current_credentials
        self._due = self._clock() + (_READ_AGAIN_SECONDS if found else _SEARCH_AGAIN_SECONDS)


def credentials_of(session: Any) -> ReloadingCredentials:
    """Returns credentials for a session, from its environment variables, files and credential services."""
    # botocore logs each failed refresh with a traceback, once per waiting call. Callers report the error themselves.
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
        raise aws.MetadataRetrievalError(error_msg=f"no credentials within {_TIMEOUT:g} s") from error
    except aws.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise aws.MetadataRetrievalError(error_msg=f"no credentials: {error}") from error
        raise aws.CredentialRetrievalError(provider=_REMOTE_METHODS, error_msg=str(error)) from error
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise aws.CredentialRetrievalError(provider=_REMOTE_METHODS, error_msg=message) from error
