"""API server address and credentials, from KUBECONFIG, a pod's service account, or ~/.kube/config.

The service account is read without kubernetes-asyncio, because importing that package costs 64 MiB and 1.5 s for models
that gco-stream does not use. Kubeconfig files are loaded with it, because it supports exec plugins, cloud providers and
merged files.
"""

import asyncio
import hashlib
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.request import getproxies, proxy_bypass

import structlog
import yaml
from yarl import URL

from gco_stream.cluster.api.errors import Misconfigured

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The token file is read again after this many seconds. The kubelet rotates it well before the token expires.
_TOKEN_FILE_SECONDS: Final = 60
# An exec plugin's token is renewed this many seconds before it expires.
_EXPIRY_MARGIN: Final = 300
# Minimum seconds between two attempts to renew credentials.
RENEWAL_PAUSE: Final = 10
_PLUGIN_TIMEOUT: Final = 30

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Address of an API server and the credentials for it.

    `authorization`: value of the Authorization header. `renew_at`: when to renew the credentials, in seconds since 1970
    (None: no known expiry).
    """

    host: str
    authorization: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = None
    renew_at: float | None = None

    def __repr__(self) -> str:
        return f"Access({self.host})"

    def ssl_context(self) -> ssl.SSLContext:
        """Returns a TLS context with the configured CA and client certificate. Raises Misconfigured."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ValueError) as error:
            raise _misconfigured(f"cannot load the certificates for {self.host}: {error}") from error
        # VERIFY_X509_STRICT is on by default since Python 3.13. It requires extensions that cluster-generated
        # certificates often lack and that Go clients do not check for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def proxy_url(self) -> str | None:
        """Returns the proxy URL from the kubeconfig, or else from the environment (NO_PROXY is honored)."""
        if self.proxy:
            return self.proxy
        url = URL(self.host)
        return None if proxy_bypass(url.host or "") else getproxies().get(url.scheme)


async def load_config(
    kubeconfig: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterConfig:
    """Returns the configuration of the cluster to use. Raises Misconfigured with a one-line message.

    `kubeconfig` (a path) takes precedence over KUBECONFIG, the service account and ~/.kube/config, in this order.
    """
    environ = os.environ if environ is None else environ
    if kubeconfig or environ.get("KUBECONFIG"):
        return await from_kubeconfig(kubeconfig or environ["KUBECONFIG"])
    if environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return from_service_account(environ, service_account)
    default = Path.home() / ".kube" / "config"
    if default.exists():
        return await from_kubeconfig(str(default))
    raise _misconfigured(
        f"no Kubernetes cluster is configured: KUBECONFIG is not set, {default} does not exist, "
        "and this process is not running in a pod"
    )


def from_service_account(environ: Mapping[str, str], folder: Path) -> ClusterConfig:
    """Returns the cluster configuration from a pod's service account in `folder`. Raises Misconfigured."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    try:
        token = (folder / "token").read_text().strip()
    except OSError as error:
        raise _misconfigured(f"cannot read the service account token: {error}") from error
    if not token:
        raise _misconfigured(f"service account token file {folder / 'token'} is empty")
    return ClusterConfig(
        host=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        authorization=f"Bearer {token}",
        ca_file=str(folder / "ca.crt"),
        renew_at=time.time() + _TOKEN_FILE_SECONDS,
    )


async def from_kubeconfig(path: str) -> ClusterConfig:
    """Returns the cluster configuration from a kubeconfig's current context. Raises Misconfigured.

    `path`: one file, or several joined by ':', which are merged.
    """
    if not _any_exists(path):
        raise _misconfigured(f"kubeconfig {path} does not exist")
    # Imported lazily because of its cost; see the module docstring.
    from kubernetes_asyncio.client import Configuration  # noqa: PLC0415
    from kubernetes_asyncio.config import ConfigException, load_kube_config  # noqa: PLC0415

    found = Configuration()
    found.host = ""
    try:
        async with asyncio.timeout(_PLUGIN_TIMEOUT):
            loader = await load_kube_config(path, client_configuration=found, persist_config=False)
    except TimeoutError:
        raise _misconfigured(f"kubeconfig {path}: exec plugin timed out after {_PLUGIN_TIMEOUT} s") from None
    except yaml.YAMLError as error:
        raise _misconfigured(f"kubeconfig {path} is not valid YAML: {_one_line(error)}") from error
    # The loader does not validate its input, so a malformed file can raise any of these.
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        raise _misconfigured(f"cannot load kubeconfig {path}: {_one_line(error)}") from error
    if not found.host:
        raise _misconfigured(f"cannot load kubeconfig {path}: the current context's cluster has no server")
    expiry = getattr(loader, "exec_plugin_expiry", None)
    return ClusterConfig(
        host=found.host,
        authorization=(found.api_key.get("BearerToken") or "").strip() or None,
        ca_file=found.ssl_ca_cert,
        cert_file=found.cert_file,
        key_file=found.key_file,
        verify=bool(found.verify_ssl),
        server_name=found.tls_server_name,
        proxy=found.proxy,
        renew_at=expiry.timestamp() - _EXPIRY_MARGIN if expiry else None,
    )


def _any_exists(path: str) -> bool:
    return any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part)


def _misconfigured(message: str) -> Misconfigured:
    return Misconfigured(0, "Misconfigured", message)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """Authorization header and TLS context for requests.

    `authorization` is None if the client does not authenticate with a header. `digest` is a hash of the header and of
    the certificate files' contents, used to detect changes.
    """

    authorization: str | None
    tls: ssl.SSLContext
    digest: bytes

    @classmethod
    def of(cls, config: ClusterConfig) -> Self:
        """Loads the credential from the files that `config` names; blocks on file I/O. Raises Misconfigured."""
        digest = hashlib.sha256(repr((config.authorization, config.verify)).encode())
        try:
            for file in (config.ca_file, config.cert_file, config.key_file):
                digest.update(Path(file).read_bytes() if file else b"-")
        except OSError as error:
            raise _misconfigured(f"cannot load the certificates for {config.host}: {error}") from error
        return cls(config.authorization, config.ssl_context(), digest.digest())


class TokenSource:
    """Source of the current credential, which it renews before expiry and after the server refuses it.

    The client also asks for a renewal if the server's certificate is not trusted, because tokens, certificates and CA
    bundles may be rotated in place while this process runs.
    """

    def __init__(
        self, config: ClusterConfig, credential: Credential, load: Callable[[], Awaitable[ClusterConfig]], pause: float
    ) -> None:
        self._credential = credential
        self._renew_at = config.renew_at
        self._load = load
        self._pause = pause
        self._search: asyncio.Task[None] | None = None
        self._tried = time.monotonic()

    @classmethod
    async def of(
        cls, config: ClusterConfig, load: Callable[[], Awaitable[ClusterConfig]], *, pause: float = RENEWAL_PAUSE
    ) -> Self:
        """Creates a source for `config`, which `load` reloads at most every `pause` seconds. Raises Misconfigured."""
        return cls(config, await asyncio.to_thread(Credential.of, config), load, pause)

    async def current(self) -> Credential:
        """Returns the credential to use now, after renewing it if that is due."""
        if self._renew_at is not None and time.time() >= self._renew_at:
            await self.renew(self._credential)
        return self._credential

    async def renew(self, refused: Credential) -> bool:
        """Tries to renew the credential and returns whether it now differs from `refused`."""
        if self._credential is refused:
            if self._search is None and time.monotonic() >= self._tried + self._pause:
                self._tried = time.monotonic()
                self._search = asyncio.create_task(self._renew_now(), name="kubernetes credentials")
            if self._search is not None:
                # Shielded because an exec plugin may take longer than this caller's deadline. The next caller waits for
                # the same task.
                await asyncio.shield(self._search)
        return self._credential is not refused

    async def close(self) -> None:
        """Cancels a renewal in progress."""
        if (search := self._search) is not None:
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)

    async def _renew_now(self) -> None:
        try:
            config = await self._load()
            found = await asyncio.to_thread(Credential.of, config)
        except Misconfigured as error:
            # The current credential may still be valid; if it is not, the server refuses it.
            _log.warning("failed to renew kubernetes credentials; keeping the current ones", error=error.message)
        else:
            self._renew_at = config.renew_at
            if found.digest != self._credential.digest:
                # Replaced only if something changed, because a new TLS context cannot reuse pooled connections.
                self._credential = found
        finally:
            self._search = None
