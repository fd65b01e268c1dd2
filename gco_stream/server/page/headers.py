"""Security headers of the HTTP server's responses, and rejection of methods other than GET and HEAD.

With these headers, the page loads only its own scripts and styles, cannot be framed and sends no referrer. Only static
files are cached.
"""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

_READS: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@web.middleware
async def read_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Rejects every method except GET and HEAD with status 405."""
    if request.method not in _READS:
        raise web.HTTPMethodNotAllowed(request.method, _READS)
    return await handler(request)


async def with_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Sets the security headers, and a Server header that reveals no libraries or versions."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "gco-stream"
