"""Photographs are decoded in other processes, header and all. One whose decoding would never end holds nobody up."""

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import ServerProcess, children, command_line, encoded, figure, picture, server_process, wait_until

from vesselrt.runtime.photo import processes

pytestmark = pytest.mark.skipif(not processes.SUPPORTED, reason="not on Linux")

SITE = """
import sys
import vesselrt.runtime.photo.decoding as decoding
if "vesselrt.runtime.photo.worker" in sys.orig_argv:
    whole = decoding.decode_opened
    def endless(encoded, enough):
        while encoded.width == 333:
            pass
        return whole(encoded, enough)
    decoding.decode_opened = endless
else:
    def never(data, limits):
        raise AssertionError("a stranger's file is looked into in the server's own process")
    decoding.open_photo = never
"""
ENDLESS, PHOTO = encoded(".png", picture(300, 333)), encoded(".png", picture(300, 334))


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[ServerProcess]:
    """A server whose decoders never come to the end of a photograph 333 pixels wide, and which decodes none itself."""
    (folder / "sitecustomize.py").write_text(SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
        with server_process(**settings) as found:
            yield found


def test_time_of_the_processor_and_deadlines_hold_in_the_middle_of_decoding(tmp_path: Path) -> None:
    with served(tmp_path, decode_seconds=1.5, queue=0) as found:
        client = found.client
        answer = client.post("/predict", content=ENDLESS)
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            413, "decoding takes more than 1.5 s of processor time, the limit. Save it as PNG or baseline JPEG.",
        )  # fmt: skip
        assert client.post("/predict", content=PHOTO).status_code == 200
        for form in (".jpg", ".tif", ".bmp", ".webp", ".avif", ".ppm"):
            answer = client.post("/predict", content=encoded(form, picture(300, 334)))
            assert answer.status_code == 200, answer.text
        answer = client.post("/predict", content=ENDLESS, headers={"X-Request-Timeout": "0.2"})
        assert answer.status_code == 503
        assert re.match("no answer within 0.2 s", answer.json()["error"]["message"])
        wait_until(lambda: client.post("/predict", content=PHOTO).status_code == 200)  # its place is given back


def test_the_server_stops_in_the_middle_of_decoding(tmp_path: Path) -> None:
    with served(tmp_path, decode_seconds=600, drain=1) as found, ThreadPoolExecutor(1) as pool:
        decoders = children(found.process.pid)
        assert any(b"photo.worker" in command_line(pid) for pid in decoders)
        asked = pool.submit(found.client.post, "/predict", content=ENDLESS)
        wait_until(lambda: figure(found.client, "vesselrt_places_taken") == 1)
        started = time.monotonic()
        found.process.terminate()
        assert found.process.wait(20) == 0
        assert time.monotonic() - started < 15
        assert asked.exception() or asked.result().status_code == 503
    assert not [pid for pid in decoders if Path(f"/proc/{pid}/exe").exists()]
