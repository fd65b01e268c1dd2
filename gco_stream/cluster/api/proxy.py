"""The proxy for the API server, chosen as by kubectl and other Go programs.

Python's own rules ignore ranges such as 10.0.0.0/8 and ports in NO_PROXY, but clusters behind a proxy use both. These
rules are those of golang.org/x/net/http/httpproxy.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Returns the URL of the proxy for requests to `url`; None for no proxy.

    The variables are HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper or lower case. NO_PROXY is a comma-separated list
    of `*`, IP addresses, CIDR ranges and domains; all but ranges may have a port. `example.com` also matches
    subdomains, `.example.com` and `*.example.com` match only these. Localhost and loopback addresses have no proxy.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), str(parts.port or _DEFAULT_PORTS.get(parts.scheme, ""))
    proxy = _variable(environ, f"{parts.scheme.upper()}_PROXY")
    if not proxy or _is_local(host):
        return None
    if any(_matches(one.strip().lower(), host, port) for one in _variable(environ, "NO_PROXY").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.lower(), "")


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _matches(entry: str, host: str, port: str) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and address in _network(entry)
    name, entry_port = _split_port(entry)
    if not name or entry_port not in {"", port}:
        return False
    if (wanted := _address(name)) is not None:
        return address == wanted
    domain = name.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _split_port(entry: str) -> tuple[str, str]:
    """Splits host:port and [IPv6]:port; the port is "" if there is none."""
    if _address(entry) is not None:
        return entry, ""
    name, colon, port = entry.rpartition(":")
    if not colon or entry.endswith("]"):
        return entry.strip("[]"), ""
    return name.strip("[]"), port


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | tuple[()]:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ()
