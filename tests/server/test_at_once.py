"""Photographs of several clients are worked on at once: each on its share of the cores, all within the memory."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from divisible import Divisible
from serving import MANIFEST, PHOTO, Gate, disc, encoded, figure, running, segmenter, wait_until

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import identity
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.settings import ServerSettings

SECONDS = 30.0


class Meeting:
    """A network in which photographs wait for each other, once it is told to."""

    def __init__(self, expected: int) -> None:
        self.begun = threading.Event()
        self._barrier = threading.Barrier(expected)

    def __call__(self, pixels: Image) -> Any:
        if self.begun.is_set():
            self._barrier.wait(SECONDS)
        return identity(pixels)


def test_two_clients_compute_at_once_each_on_its_core() -> None:
    meeting = Meeting(2)
    whole = Divisible(2, meeting)
    with running(Segmenter(MANIFEST, whole)) as client, ThreadPoolExecutor(2) as pool:
        alone = client.post("/predict", content=PHOTO)
        assert [backend.info.threads for backend in whole.made] == [2], "alone it has both cores"
        meeting.begun.set()
        answers = [*pool.map(lambda _: client.post("/predict", content=PHOTO), range(2))]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.content for answer in answers] == [alone.content] * 2
    assert [backend.info.threads for backend in whole.made] == [2, 1, 1]
    assert [len(backend.shapes) > 0 for backend in whole.made].count(True) >= 2, "they met in different ones"


def test_a_batch_computes_its_photographs_at_once() -> None:
    meeting = Meeting(2)
    with running(Segmenter(MANIFEST, Divisible(2, meeting))) as client:
        meeting.begun.set()
        files = [("image", (f"{n}.png", PHOTO)) for n in range(4)]
        answer = client.post("/predict/batch", files=files, headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == 200
    assert answer.text.count('"status":200') == 4


@pytest.mark.parametrize("form", ["mask", "overlay"])
def test_a_photograph_that_fits_beside_no_other_waits_and_is_not_refused(gate: Gate, form: str) -> None:
    photo = encoded(".png", disc(1000, 1000))
    settings = ServerSettings(in_flight=2, max_memory=20_000_000)  # one takes 10 or 16 MB
    with running(segmenter(gate), settings) as client, ThreadPoolExecutor(2) as pool:
        gate.shut()
        asked = [pool.submit(client.post, f"/predict?format={form}", content=photo) for _ in range(2)]
        assert gate.entered.acquire(timeout=SECONDS)
        wait_until(lambda: figure(client, "vesselrt_places_taken") == 2)
        assert not gate.entered.acquire(timeout=0.2), "the other has no memory yet"
        assert not any(one.done() for one in asked)
        gate.open.set()
        answers = [one.result() for one in asked]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        wait_until(lambda: figure(client, "vesselrt_held_bytes") == 0)


def test_a_waiting_photograph_is_let_go_with_its_client(gate: Gate) -> None:
    photo = encoded(".png", disc(1000, 1000))
    settings = ServerSettings(in_flight=2, max_memory=20_000_000)
    with running(segmenter(gate), settings) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        first = pool.submit(client.post, "/predict", content=photo)
        assert gate.entered.acquire(timeout=SECONDS)
        late = client.post("/predict", content=photo, headers={"X-Request-Timeout": "0.3"})
        assert late.status_code == 503
        wait_until(lambda: figure(client, "vesselrt_places_taken") == 1)
        gate.open.set()
        assert first.result().status_code == 200
