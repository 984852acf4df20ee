"""Probability maps that are kept for the next format or threshold, and never for anybody or anything else."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from results import FORMATS_OF_ALL
from serving import MANIFEST, decoding_here, picture, png

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.maps import Map, Maps, map_key
from vesselrt.server.work.models import ServedModel

PHOTO, OTHER = png(picture(seed=1)), png(picture(seed=2))


class Counting:
    """A network that counts how often it runs."""

    def __init__(self, function: Callable[[Image], Any] = identity) -> None:
        self.calls, self._function = 0, function

    def __call__(self, pixels: Image) -> Any:
        self.calls += 1
        return self._function(pixels)


Ask = Callable[..., Any]


def served(models: list[ServedModel], steps: Callable[[Ask], Any], **settings: Any) -> None:
    """Runs `steps(ask)` beside the application; `ask(photo, **query)` is awaited for the answer."""

    async def run() -> None:
        app = create_app(models, ServerSettings(**settings), wait=True)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client,
        ):

            async def ask(photo: bytes, **query: Any) -> httpx.Response:
                answer = await client.post("/predict", content=photo, params=query)
                assert answer.status_code == 200, answer.text
                return answer

            await steps(ask)

    with decoding_here():
        asyncio.run(run())


def model(network: Counting, name: str = "test") -> ServedModel:
    return ServedModel(name, Segmenter(MANIFEST, FakeBackend(network)))


def test_every_format_and_threshold_comes_out_of_one_inference() -> None:
    network = Counting()
    library = Segmenter(MANIFEST, FakeBackend()).segment(PHOTO)

    async def steps(ask: Ask) -> None:
        first = await ask(PHOTO)
        calls = network.calls
        for form in FORMATS_OF_ALL:
            for threshold in (0.3, 0.6):
                answer = await ask(PHOTO, format=form, threshold=threshold)
                if form not in ("json", "coco"):  # which tell of the request
                    assert answer.content == library.encode(form, threshold)
                assert answer.headers["server-timing"].split(";")[0] == "wait"
                assert "cache;dur=" in answer.headers["server-timing"]
        assert network.calls == calls
        assert "infer;dur=" in first.headers["server-timing"]
        other = await ask(OTHER)
        assert network.calls > calls
        assert other.content == Segmenter(MANIFEST, FakeBackend()).segment(OTHER).encode("mask")

    served([model(network)], steps)


def test_each_model_has_its_own_maps() -> None:
    one, two = Counting(), Counting(lambda pixels: 1 - identity(pixels))

    async def steps(ask: Ask) -> None:
        answers = [await ask(PHOTO, model=name, format="probability") for name in ("one", "two", "one", "two")]
        assert answers[0].content == answers[2].content != answers[1].content == answers[3].content

    served([model(one, "one"), model(two, "two")], steps)


def test_a_file_that_was_replaced_is_another_model(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("1")

    def load() -> Segmenter:
        function = identity if file.read_text() == "1" else lambda pixels: 1 - identity(pixels)
        return Segmenter(MANIFEST.model_copy(update={"version": file.read_text()}), FakeBackend(function))

    async def steps(ask: Ask) -> None:
        first = await ask(PHOTO)
        (tmp_path / "new").write_text("2")
        (tmp_path / "new").replace(file)
        end = time.monotonic() + 20
        while (second := await ask(PHOTO)).headers["x-vesselrt-model"] != "test 2":
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        assert second.content != first.content

    served([ServedModel("test", load, [file])], steps, reload=0.05)


def test_none_is_kept_where_none_may_be() -> None:
    network = Counting()

    async def steps(ask: Ask) -> None:
        await ask(PHOTO)
        calls = network.calls
        await ask(PHOTO)
        assert network.calls > calls

    served([model(network)], steps, maps_bytes=0)


def test_maps_are_bounded_in_bytes_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[str] = []
    maps = Maps(250, 10, told.append)
    keys = [map_key(bytes([n])) for n in range(4)]
    for key in keys[:2]:
        maps.keep(key, Map(np.full((10, 10), keys.index(key), np.uint8), (), ("blurred",)))
    found = maps.find(keys[0])
    assert found is not None
    assert not found.probability.any()
    assert found.warnings == ("blurred",)
    with pytest.raises(ValueError, match="read-only"):
        found.probability[0, 0] = 1
    maps.keep(keys[2], Map(np.zeros((10, 10), np.uint8), (), ()))
    assert maps.find(keys[1]) is None, "asked for least recently"
    maps.keep(keys[3], Map(np.zeros((16, 16), np.uint8), (), ()))
    assert maps.find(keys[3]) is None, "larger than all may be"
    now = 10.0
    maps.expire()
    assert len(maps) == 0
    assert told == ["hit", "miss", "miss"]


def test_keys_are_of_the_whole_file_and_of_all_that_changes_the_map() -> None:
    assert (
        len({map_key(b"a", "m"), map_key(b"b", "m"), map_key(b"a", "n"), map_key(b"a", "m", 0.5), map_key(b"a", "m")})
        == 4
    )
