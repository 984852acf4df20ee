"""The server's application inside another one, which runs no lifespan of what it mounts."""

import asyncio
import time

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import SegmenterClosedError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app

MANIFEST = Manifest(
    name="green",
    version="1",
    licence="CC0-1.0",
    description="Gives back the green of a photograph.",
    preparation=Preparation(channels="green"),
    input=Input(mean=(0.0,), std=(1.0,)),
    tile=Tile(size=64, multiple=1, margin=0),
)


def test_a_mounted_application_loads_its_model_at_the_first_request() -> None:
    segmenter = Segmenter(MANIFEST, FakeBackend())
    photo = Photograph(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8), Limits()).encoded()
    outer = FastAPI()
    outer.mount("/eyes", create_app(lambda: segmenter))

    async def ask() -> tuple[list[int], bytes]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://outer") as client:
            seen: list[int] = []
            until = time.monotonic() + 30
            while not seen or (seen[-1] != 200 and time.monotonic() < until):
                seen.append((await client.get("/eyes/health")).status_code)
                await asyncio.sleep(0.05)
            answer = await client.post("/eyes/predict", content=photo)
            return [*seen, answer.status_code], answer.content

    codes, content = asyncio.run(ask())
    assert codes[-2:] == [200, 200]
    assert set(codes[:-2]) <= {503}
    assert content == segmenter.segment(photo).encode()


def test_its_lifespan_in_the_outer_application_starts_and_closes_it() -> None:
    segmenter = Segmenter(MANIFEST, FakeBackend())
    eyes = create_app(lambda: segmenter)
    outer = FastAPI(lifespan=eyes.router.lifespan_context)
    outer.mount("/eyes", eyes)
    photo = np.zeros((30, 40, 3), np.uint8)

    async def ask() -> int:
        transport = httpx.ASGITransport(outer)
        async with (
            outer.router.lifespan_context(outer),
            httpx.AsyncClient(transport=transport, base_url="http://outer") as client,
        ):
            until = time.monotonic() + 30
            while (await client.get("/eyes/health")).status_code != 200 and time.monotonic() < until:
                await asyncio.sleep(0.05)
            return (await client.post("/eyes/predict", content=Photograph(photo, Limits()).encoded())).status_code

    assert asyncio.run(ask()) == 200
    with pytest.raises(SegmenterClosedError):
        segmenter.segment(photo)
