"""A photograph whose decoding would never end holds nobody: not other clients, not the deadline, not SIGTERM."""

import io
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.runtime.photo import processes

pytestmark = pytest.mark.skipif(not processes.SUPPORTED, reason="not on Linux")

ENDLESS = """
import sys
if "vesselrt.runtime.photo.worker" in sys.orig_argv:
    import vesselrt.runtime.photo.decoding as decoding
    whole = decoding.decode_opened
    def endless(encoded, enough):
        while encoded.width == 333:
            pass
        return whole(encoded, enough)
    decoding.decode_opened = endless
"""


def png(width: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(60, 200, (300, width, 3), np.uint8)
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@contextmanager
def served(folder: Path, **settings: object) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    """`vesselrt serve` in a process, whose decoders never come to the end of a photograph 333 pixels wide."""
    (folder / "sitecustomize.py").write_text(ENDLESS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {f"VESSELRT_{name.upper()}": str(value) for name, value in settings.items()}
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "VESSELRT_PRECISION": "f32", **variables}
    command = [sys.executable, "-m", "vesselrt.cli", "serve", "--port", str(port)]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder, env=environment) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        try:
            end = time.monotonic() + 60
            while not _is_ready(client):
                assert time.monotonic() < end
                time.sleep(0.1)
            yield client, process
        finally:
            process.kill()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_time_of_the_processor_is_limited(tmp_path: Path) -> None:
    with served(tmp_path, decode_seconds=0.5) as (client, _):
        answer = client.post("/predict", content=png(333))
        assert answer.status_code == 413
        assert answer.json()["error"]["message"] == (
            "decoding takes more than 0.5 s of processor time, the limit. Save it as PNG or baseline JPEG."
        )
        assert client.post("/predict", content=png(334)).status_code == 200


def test_a_deadline_holds_in_the_middle_of_decoding(tmp_path: Path) -> None:
    with served(tmp_path, decode_seconds=600, queue=0) as (client, _):
        answer = client.post("/predict", content=png(333), headers={"X-Request-Timeout": "0.5"})
        assert answer.status_code == 503
        assert re.match("no answer within 0.5 s", answer.json()["error"]["message"])
        end = time.monotonic() + 20
        while (answer := client.post("/predict", content=png(334))).status_code == 503:  # its place is given back
            assert time.monotonic() < end
        assert answer.status_code == 200


def test_the_server_stops_in_the_middle_of_decoding(tmp_path: Path) -> None:
    with served(tmp_path, decode_seconds=600, drain=1) as (client, process):
        decoders = children(process.pid)
        assert any(b"photo.worker" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in decoders)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.post, "/predict", content=png(333))
            while "vesselrt_places_taken 1.0" not in httpx.get(f"{client.base_url}/metrics", trust_env=False).text:
                time.sleep(0.05)
            started = time.monotonic()
            process.terminate()
            assert process.wait(20) == 0
            assert time.monotonic() - started < 15
            assert asked.exception() or asked.result().status_code == 503
        assert not [pid for pid in decoders if Path(f"/proc/{pid}/exe").exists()]
