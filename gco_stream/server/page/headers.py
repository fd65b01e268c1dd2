"""What every answer of the HTTP server carries, and what no request may do.

The page runs no script and loads no style but its own files, is shown in no frame, tells nobody where a visitor came
from, and is not kept by caches. Nothing can be changed through it.
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
    """Refuses whatever does not only read."""
    if request.method not in _READS:
        raise web.HTTPMethodNotAllowed(request.method, _READS)
    return await handler(request)


async def with_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Sets the security headers; the names of servers and libraries are nobody's business."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "gco-stream"
