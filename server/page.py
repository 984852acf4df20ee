"""The page for the browser: what `make web` built from server/web, or the one committed file where nothing is built."""

import base64
import gzip
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

_STATIC = Path(__file__).with_name("static")
_BUILT = _STATIC / "page"
_NOBODY = "'none'"
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
"""Of an address: one that no client can make an address elsewhere of."""


def add_page(app: FastAPI, built: Path = _BUILT, frame_ancestors: Sequence[str] = ()) -> None:
    """Adds / and, where the page is built, its licences and the files that it loads, which never change.

    `frame_ancestors`: web sites that may show the page in a frame, as in "https://pacs.example".
    """
    index = built / "index.html"
    document = _Document((index if index.is_file() else _STATIC / "fallback.html").read_text("utf-8"), frame_ancestors)

    @app.get("/", summary="The page for the browser", response_class=HTMLResponse, tags=["page"])
    async def page(request: Request) -> Response:
        """Choose photographs, move the threshold, keep the mask. Loads nothing from elsewhere."""
        return document.answer(request)

    if index.is_file():
        licences = (built / "licences.txt").read_text("utf-8")

        @app.get("/licences.txt", include_in_schema=False)
        async def notices() -> PlainTextResponse:
            """The licences of all that is bundled."""
            return PlainTextResponse(licences)

        files = _Unchanging(directory=built / "_next" / "static")
        app.mount("/_next/static", GZipMiddleware(files, compresslevel=5))


class _Document:
    """The page's HTML, whose addresses are relative: to the folder that a proxy has put it in, where it says so."""

    def __init__(self, text: str, frame_ancestors: Sequence[str]) -> None:
        self._text = text
        self._headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _content_policy(text, frame_ancestors),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Vary": "X-Forwarded-Prefix, Accept-Encoding",
            **({} if frame_ancestors else {"X-Frame-Options": "DENY"}),
        }

    def answer(self, request: Request) -> Response:
        """304 where the browser has this one."""
        prefix = request.headers.get("x-forwarded-prefix", "").rstrip("/") + str(request.scope.get("root_path", ""))
        # An address without its last slash would be that of a file in the folder above.
        base = f'<base href="{prefix}/">' if _PREFIX.fullmatch(prefix) else ""
        content = self._text.replace("<head>", f"<head>{base}", 1).encode()
        gzipped = "gzip" in request.headers.get("accept-encoding", "")
        tag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
        headers = self._headers | {"ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if gzipped:
            content, headers["Content-Encoding"] = gzip.compress(content, 5, mtime=0), "gzip"
        return HTMLResponse(content, headers=headers)


def _content_policy(page: str, frame_ancestors: Sequence[str]) -> str:
    """Nothing but this server's own files, and of inline scripts and styles exactly those of `page`."""
    inline = {
        kind: _inline_hashes(rf"<{kind}(?![^>]*\bsrc=)[^>]*>(.*?)</{kind}>", page) for kind in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src 'self'{inline['script']}; style-src 'self'{inline['style']}; "
        "img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; "
        f"base-uri 'self'; form-action 'none'; frame-ancestors {' '.join(frame_ancestors) or _NOBODY}"
    )


def _inline_hashes(pattern: str, page: str) -> str:
    found = dict.fromkeys(re.findall(pattern, page, re.DOTALL))
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return "".join(f" 'sha256-{digest}'" for digest in digests)


class _Unchanging(StaticFiles):
    """Files whose names hold a hash of their content: a browser need not ask for them twice."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
