"""The page at /, built by `make web` or the plain one. In a browser it is tested in server/web/e2e."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from vesselrt.server import page
from vesselrt.server.http.root_path import RootPath

INLINE = "self.__next_f=[]"
BUILT = (
    '<!DOCTYPE html><html lang="en"><head><script src="/_next/static/chunks/a.js" async=""></script></head>'
    f"<body><p>built</p><script>{INLINE}</script></body></html>"
)
Ask = Callable[..., httpx.Response]


def served(folder: Path, *, root: str = "", frames: Sequence[str] = ()) -> Ask:
    app = FastAPI()
    page.add_page(app, built=folder, frame_ancestors=frames)
    if root:
        app.add_middleware(RootPath, root=root)

    async def ask(address: str, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
            return await client.get(address, headers=headers)

    return lambda address, **headers: asyncio.run(ask(address, {k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chunks = tmp_path / "_next" / "static" / "chunks"
    chunks.mkdir(parents=True)
    (chunks / "a.js").write_text("1", "utf-8")
    (tmp_path / "licences.txt").write_text("Inter", "utf-8")
    (tmp_path / "index.html").write_text(BUILT, "utf-8")
    return tmp_path


@pytest.fixture
def built(folder: Path) -> Ask:
    return served(folder)


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


def test_a_browser_that_has_the_page_does_not_get_it_again(built: Ask) -> None:
    first = built("/")
    again = built("/", if_none_match=f'"other", {first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    kept = ("etag", "cache-control", "content-security-policy", "vary")
    assert [again.headers[name] for name in kept] == [first.headers[name] for name in kept]
    assert built("/", if_none_match='"other"').text == BUILT
    assert built("/", accept_encoding="gzip").headers["content-encoding"] == "gzip"
    assert "content-encoding" not in built("/", accept_encoding="identity").headers


@pytest.mark.parametrize("prefix", ["/vessels", "/eyes/vessels/"])
def test_behind_a_proxy_addresses_start_in_its_folder(built: Ask, prefix: str) -> None:
    answer = built("/", x_forwarded_prefix=prefix)
    assert f'<head><base href="{prefix.rstrip("/")}/">' in answer.text
    assert answer.headers["etag"] != built("/").headers["etag"]
    assert "X-Forwarded-Prefix" in answer.headers["vary"]


@pytest.mark.parametrize("prefix", ["//elsewhere.example", "https://elsewhere.example", '/"><script>', "vessels", "/"])
def test_what_is_no_folder_is_not_written_into_the_page(built: Ask, prefix: str) -> None:
    assert built("/", x_forwarded_prefix=prefix).text == BUILT


def test_a_proxy_may_leave_its_folder_in_the_address(folder: Path) -> None:
    ask = served(folder, root="/vessels")
    for address in ("/vessels", "/vessels/"):
        assert '<base href="/vessels/">' in ask(address).text
    assert ask("/vessels/_next/static/chunks/a.js").text == "1"
    assert ask("/").text == BUILT  # a health check does not pass the proxy
    assert ask("/vesselsx").status_code == 404


def test_only_the_sites_of_the_settings_may_frame_the_page(built: Ask, folder: Path) -> None:
    closed = built("/").headers
    assert closed["content-security-policy"].endswith("frame-ancestors 'none'")
    assert closed["x-frame-options"] == "DENY"
    opened = served(folder, frames=["https://pacs.example", "https://ris.example"])("/").headers
    assert opened["content-security-policy"].endswith("frame-ancestors https://pacs.example https://ris.example")
    assert "x-frame-options" not in opened


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
    assert [a for a in addresses if a.startswith("/") or ask(f"/{a}").status_code != 200] == []
    assert "noModule" not in text
    licences = ask("/licences.txt").text
    assert all(name in licences for name in ("inter 5", "next 16", "next/react-dom", "SIL OPEN FONT LICENSE"))
