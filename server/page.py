"""The page for the browser: what `make web` built from server/web, or the one committed file where nothing is built."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

_STATIC = Path(__file__).with_name("static")
_BUILT = _STATIC / "page"


def add_page(app: FastAPI, built: Path = _BUILT) -> None:
    """Adds / and, where the page is built, its licences and the files that it loads, which never change."""
    index = built / "index.html"
    text = (index if index.is_file() else _STATIC / "fallback.html").read_text("utf-8")
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _content_policy(text),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    @app.get("/", summary="The page for the browser", response_class=HTMLResponse, tags=["page"])
    async def page() -> HTMLResponse:
        """Choose photographs, move the threshold, keep the mask. Loads nothing from elsewhere."""
        return HTMLResponse(text, headers=headers)

    if index.is_file():
        licences = (built / "licences.txt").read_text("utf-8")

        @app.get("/licences.txt", include_in_schema=False)
        async def notices() -> PlainTextResponse:
            """The licences of all that is bundled."""
            return PlainTextResponse(licences)

        files = _Unchanging(directory=built / "_next" / "static")
        app.mount("/_next/static", GZipMiddleware(files, compresslevel=5))


def _content_policy(page: str) -> str:
    """Nothing but this server's own files, and of inline scripts and styles exactly those of `page`."""
    inline = {
        kind: _inline_hashes(rf"<{kind}(?![^>]*\bsrc=)[^>]*>(.*?)</{kind}>", page) for kind in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src 'self'{inline['script']}; style-src 'self'{inline['style']}; "
        "img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
