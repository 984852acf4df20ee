"""`vesselrt.Client`: the library over HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import KEY, PHOTO, Gate, running, segmenter

import vesselrt
from vesselrt.client import _seconds_to_wait
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
    assert _seconds_to_wait(said) == seconds


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
