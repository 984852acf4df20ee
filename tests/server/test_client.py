"""`vesselrt.Client`: the library over HTTP."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import KEY, PHOTO, Gate, disc, encoded, running, segmenter

import vesselrt
from vesselrt.exchange import seconds_to_wait
from vesselrt.runtime.errors import ImageDecodeError, ImageNotFoundError, OptionError, VesselrtError
from vesselrt.server.settings import ServerSettings


def test_client_is_the_library_over_http(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PHOTO)
    expected = segmenter().segment(PHOTO)
    with vesselrt.Client(str(client.base_url)) as remote:
        for image in (PHOTO, tmp_path / "photo.png", str(tmp_path / "photo.png"), expected.image):
            assert (remote.probability(image) == expected.probability).all()
        assert remote.encode(PHOTO, "svg", 0.6, "test") == expected.encode("svg", 0.6)
        assert [model["name"] for model in remote.models()] == ["test"]
        with pytest.raises(ImageDecodeError, match=r"^not an image: it begins with b'nothing'"):
            remote.probability(b"nothing")
        with pytest.raises(OptionError, match=r"^threshold is '2'"):
            remote.encode(PHOTO, threshold=2)
        with pytest.raises(VesselrtError, match=r"^no model 'other'"):
            remote.encode(PHOTO, model="other")
        with pytest.raises(ImageNotFoundError, match="can't be read"):
            remote.encode(tmp_path / "nothing.png")


@pytest.mark.parametrize(("said", "seconds"), [("3", 3.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("", 1.0)])
def test_client_understands_when_to_come_back(said: str, seconds: float) -> None:
    assert seconds_to_wait(httpx.Response(503, headers={"Retry-After": said} if said else {})) == seconds


def test_client_waits_for_a_busy_server_and_sends_the_key(gate: Gate) -> None:
    with running(segmenter(gate), ServerSettings(queue=0, api_key=KEY)) as client, ThreadPoolExecutor(1) as pool:
        with vesselrt.Client(str(client.base_url)) as without, pytest.raises(VesselrtError, match="API key is needed"):
            without.models()
        with vesselrt.Client(str(client.base_url), api_key=KEY) as remote:
            gate.shut()
            first = pool.submit(remote.encode, PHOTO)
            assert gate.entered.acquire(timeout=20)
            threading.Timer(0.2, gate.open.set).start()
            assert remote.encode(PHOTO) == first.result()
    with vesselrt.Client("http://127.0.0.1:1") as nowhere, pytest.raises(VesselrtError, match=r"^no answer from http"):
        nowhere.models()


def test_batch_gives_each_photograph_its_answer_or_error(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PHOTO)
    images: list[bytes | Path] = [PHOTO, b"nothing", tmp_path / "missing.png", tmp_path / "photo.png", *[PHOTO] * 6]
    expected = segmenter().segment(PHOTO)
    with vesselrt.Client(str(client.base_url)) as remote:
        found = dict(remote.predict_batch(images, 3, format="svg", threshold=0.6))
        assert sorted(found) == list(range(10))
        assert isinstance(found[1], ImageDecodeError)
        assert isinstance(found[2], ImageNotFoundError)
        answers = [found[place] for place in (0, *range(3, 10))]
        assert answers == [vesselrt.Answer(expected.encode("svg", 0.6), expected.warnings, expected.quality)] * 8
        ((_, document),) = remote.predict_batch([PHOTO], format="json")
        assert isinstance(document, vesselrt.Answer)
        assert json.loads(document.content)["width"] == 97
        assert list(remote.predict_batch([])) == []
        with pytest.raises(OptionError, match=r"^threshold is '2'"):
            list(remote.predict_batch([PHOTO], threshold=2))


def test_warnings_come_with_the_answer(client: httpx.Client) -> None:
    dark = encoded(".png", disc(100, 100) // 16)
    expected = segmenter().segment(dark)
    assert expected.warnings
    with vesselrt.Client(str(client.base_url)) as remote:
        assert remote.predict(dark) == vesselrt.Answer(expected.encode("mask"), expected.warnings, expected.quality)


def test_asynchronous_client_is_the_same(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PHOTO)
    expected = segmenter().segment(PHOTO)

    async def ask() -> None:
        async with vesselrt.AsyncClient(str(client.base_url)) as remote:
            both = await asyncio.gather(remote.predict(tmp_path / "photo.png", format="svg"), remote.probability(PHOTO))
            assert both[0].content == expected.encode("svg")
            assert (both[1] == expected.probability).all()
            found = {place: answer async for place, answer in remote.predict_batch([PHOTO, b"nothing"])}
            assert found[0] == vesselrt.Answer(expected.encode("mask"), expected.warnings, expected.quality)
            assert isinstance(found[1], ImageDecodeError)
            assert [model["name"] for model in await remote.models()] == ["test"]
            with pytest.raises(OptionError, match=r"^threshold is '2'"):
                await remote.predict(PHOTO, threshold=2)
        async with vesselrt.AsyncClient("http://127.0.0.1:1") as nowhere:
            with pytest.raises(VesselrtError, match=r"^no answer from http"):
                await nowhere.models()

    asyncio.run(ask())


def test_asynchronous_client_waits_for_a_busy_server(gate: Gate) -> None:
    async def ask(address: str) -> None:
        async with vesselrt.AsyncClient(address) as remote:
            gate.shut()
            first = asyncio.create_task(remote.predict(PHOTO))
            assert await asyncio.to_thread(gate.entered.acquire, timeout=20)
            threading.Timer(0.2, gate.open.set).start()
            assert await remote.predict(PHOTO) == await first

    with running(segmenter(gate), ServerSettings(queue=0)) as client:
        asyncio.run(ask(str(client.base_url)))
