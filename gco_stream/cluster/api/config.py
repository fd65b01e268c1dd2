"""API server address and credentials, from KUBECONFIG, a pod's service account, or ~/.kube/config.

kubernetes-asyncio loads them. It takes 36 MiB and 0.15 s, so it is imported only when a configuration is loaded.
"""

import asyncio
import hashlib
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from gco_stream.cluster.api.errors import Misconfigured
from gco_stream.cluster.api.proxy import proxy_for

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The kubelet rotates the token file well before the token expires.
_TOKEN_FILE_SECONDS: Final = 60
# An exec plugin's token is renewed this many seconds before it expires, at most once per renewal pause.
_EXPIRY_MARGIN: Final = 300
RENEWAL_PAUSE: Final = 10
_PLUGIN_TIMEOUT: Final = 30

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClusterConfig:
    """kubernetes-asyncio's Configuration of a cluster, and the TLS context for it.

    `digest` covers the credentials, including the contents of their files. `renew_at`: when to load them again, in
    seconds since 1970; None if they do not expire.
    """

    configuration: Any
    tls: ssl.SSLContext
    digest: bytes
    renew_at: float | None


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
    in_pod = environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists()
    configured, default = kubeconfig or environ.get("KUBECONFIG"), str(Path.home() / ".kube" / "config")
    path = configured or ("" if in_pod else default)
    if path and not _any_exists(path):
        raise _misconfigured(
            f"kubeconfig {path} does not exist"
            if configured
            else f"no Kubernetes cluster is configured: KUBECONFIG is not set, {default} does not exist, "
            "and this process is not running in a pod"
        )
    source = f"kubeconfig {path}" if path else f"service account {service_account}"
    try:
        found, renew_at = await _load(path, environ, service_account)
    except TimeoutError:
        raise _misconfigured(f"{source}: exec plugin timed out after {_PLUGIN_TIMEOUT} s") from None
    except yaml.YAMLError as error:
        raise _misconfigured(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    # The loaders do not validate the files, so a malformed one can raise anything.
    except Exception as error:
        raise _misconfigured(f"cannot load {source}: {' '.join(str(error).split()) or type(error).__name__}") from error
    if not found.host:
        raise _misconfigured(f"cannot load {source}: the current context's cluster has no server")
    found.api_key = {name: key.strip() for name, key in found.api_key.items()}
    found.proxy = found.proxy or proxy_for(found.host, environ)
    try:
        tls, digest = await asyncio.to_thread(_read_certificates, found)
    except (OSError, ValueError) as error:
        raise _misconfigured(f"cannot load the certificates for {found.host}: {error}") from error
    return ClusterConfig(found, tls, digest, renew_at)


async def _load(path: str, environ: Mapping[str, str], service_account: Path) -> tuple[Any, float | None]:
    """Configuration of the kubeconfig's current context (paths joined by ':' are merged), or of the service account."""
    from kubernetes_asyncio import client, config  # noqa: PLC0415 - see the module docstring

    found = client.Configuration(host="")
    if not path:
        files = {"token_filename": str(service_account / "token"), "cert_filename": str(service_account / "ca.crt")}
        config.load_incluster_config(found, False, environ=environ, **files)  # type: ignore[no-untyped-call]
        return found, time.time() + _TOKEN_FILE_SECONDS
    async with asyncio.timeout(_PLUGIN_TIMEOUT):
        loader = await config.load_kube_config(path, client_configuration=found, persist_config=False)
    expiry = getattr(loader, "exec_plugin_expiry", None)
    return found, expiry.timestamp() - _EXPIRY_MARGIN if expiry else None


def _read_certificates(found: Any) -> tuple[ssl.SSLContext, bytes]:
    """Context that verifies the server and presents the client certificate; digest of the credentials.

    The context that the library makes cannot be had without its session.
    """
    context = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    # On by default since Python 3.13. Certificates that clusters generate often lack the extensions that it requires,
    # and Go clients do not check for them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    digest = hashlib.sha256(repr((found.api_key, found.verify_ssl)).encode())
    for file in (found.ssl_ca_cert, found.cert_file, found.key_file):
        digest.update(Path(file).read_bytes() if file else b"-")
    return context, digest.digest()


def _any_exists(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def _misconfigured(message: str) -> Misconfigured:
    return Misconfigured(0, "Misconfigured", message)


class TokenSource:
    """Current configuration, loaded again before its token expires and after the server refuses it.

    It is also loaded again if the server's certificate is not trusted: tokens, certificates and CA bundles are rotated
    in place while this process runs. The library's own refresh covers only tokens that expire, and a token file that
    cannot be read fails every call.
    """

    def __init__(self, config: ClusterConfig, load: Callable[[], Awaitable[ClusterConfig]], pause: float) -> None:
        """`load` is called at most every `pause` seconds."""
        self.config = config
        self._renew_at = config.renew_at
        self._load = load
        self._pause = pause
        self._search: asyncio.Task[None] | None = None
        self._tried = time.monotonic()

    async def current(self) -> ClusterConfig:
        """Configuration to use now; renewed first if it is due."""
        if self._renew_at is not None and time.time() >= self._renew_at:
            await self.renew(self.config)
        return self.config

    async def renew(self, refused: ClusterConfig) -> bool:
        """Load the configuration again; returns whether its credentials differ from the `refused` ones."""
        if self.config is refused:
            if self._search is None and time.monotonic() >= self._tried + self._pause:
                self._tried = time.monotonic()
                self._search = asyncio.create_task(self._renew_now(), name="kubernetes credentials")
            if self._search is not None:
                # Shielded because a plugin may outlast this call's deadline; the next caller waits for the same task.
                await asyncio.shield(self._search)
        return self.config is not refused

    async def close(self) -> None:
        """Cancels a renewal in progress."""
        if (search := self._search) is not None:
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)

    async def _renew_now(self) -> None:
        try:
            found = await self._load()
        except Misconfigured as error:
            # The current credentials may still be valid; if they are not, the server refuses them.
            _log.warning("failed to renew kubernetes credentials; keeping the current ones", error=error.message)
        else:
            self._renew_at = found.renew_at
            if found.digest != self.config.digest:
                # A new TLS context cannot reuse pooled connections, so the current one is kept while nothing changes.
                self.config = found
        finally:
            self._search = None
