"""The page at /, built by `make web` or the plain one. In a browser it is tested in server/web/e2e."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from vesselrt.server import page

INLINE = "self.__next_f=[]"
BUILT = (
    '<!DOCTYPE html><html lang="en"><head><script src="/_next/static/chunks/a.js" async=""></script></head>'
    f"<body><p>built</p><script>{INLINE}</script></body></html>"
)
Ask = Callable[[str], httpx.Response]


def served(folder: Path) -> Ask:
    app = FastAPI()
    page.add_page(app, built=folder)

    async def ask(address: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
            return await client.get(address)

    return lambda address: asyncio.run(ask(address))


@pytest.fixture
def built(tmp_path: Path) -> Ask:
    chunks = tmp_path / "_next" / "static" / "chunks"
    chunks.mkdir(parents=True)
    (chunks / "a.js").write_text("1", "utf-8")
    (tmp_path / "licences.txt").write_text("Inter", "utf-8")
    (tmp_path / "index.html").write_text(BUILT, "utf-8")
    return served(tmp_path)


def test_a_built_page_is_served_with_what_it_loads(built: Ask) -> None:
    answer = built("/")
    assert answer.text == BUILT
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert built("/licences.txt").text == "Inter"
    script = built("/_next/static/chunks/a.js")
    assert script.text == "1"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert built("/_next/static/chunks/b.js").status_code == 404
    assert built("/_next/static/../../index.html").status_code == 404


def test_scripts_are_allowed_by_their_hash_alone(built: Ask) -> None:
    digest = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    policy = built("/").headers["content-security-policy"]
    assert f"; script-src 'self' 'sha256-{digest}'; " in policy
    assert "unsafe" not in policy


def test_a_page_that_is_not_built_is_one_file(tmp_path: Path) -> None:
    ask = served(tmp_path)
    answer = ask("/")
    assert "<title>vesselrt" in answer.text
    assert not re.search(r"https?://|@import|<link[^>]+stylesheet|<script[^>]+src", answer.text)
    assert "unsafe" not in answer.headers["content-security-policy"]
    named = set(re.findall(r'<label for="(\w+)"', answer.text))
    inputs = re.findall(r"<label[^>]*>[^\n]*\n?\s*<input|<input[^>]*id=\"(\w+)\"", answer.text)
    assert {name for name in inputs if name} <= named, "every input has a label"
    assert ask("/licences.txt").status_code == 404


@pytest.mark.skipif(not (page._BUILT / "index.html").is_file(), reason="the page is not built: make web")
def test_the_page_that_make_web_built_is_whole() -> None:
    ask = served(page._BUILT)
    text = ask("/").text
    addresses = [a for a in re.findall(r'(?:src|href)="([^"]+)"', text) if not a.startswith("data:")]
    assert addresses
    assert [a for a in addresses if ask(a).status_code != 200] == []
    assert "noModule" not in text
    licences = ask("/licences.txt").text
    assert all(name in licences for name in ("inter 5", "next 16", "next/react-dom", "SIL OPEN FONT LICENSE"))
