"""Who waits, who is refused, who is forgotten: the queue, deadlines, clients that leave, the end of the server."""

import asyncio
import gc
import logging
import re
import socket
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from serving import MANIFEST, PHOTO, Gate, error, figure, picture, post, running, segmenter, wait_until

from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.batch import BatchFile
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import ServedModel
from vesselrt.server.work.service import Service
from vesselrt.server.work.tasks import PhotoTask, Pixels


def test_a_warm_model_is_ready_at_once_and_not_warmed_again() -> None:
    backend = FakeBackend()
    with running(Segmenter(MANIFEST, backend), ready=False, warm=True) as client:
        assert client.get("/health/ready").status_code == 200
        assert backend.shapes == []
        assert post(client, "multipart").status_code == 200


def test_queue_is_bounded_and_health_answers_meanwhile(gate: Gate) -> None:
    with running(segmenter(gate), ServerSettings(queue=2)) as client, ThreadPoolExecutor(3) as pool:
        gate.open.clear()
        asked = [pool.submit(post, client, "multipart") for _ in range(3)]
        refused = ask_until_refused(client)
        message = "3 photographs are being worked on or waiting, and no more may. Try again in a moment."
        assert error(refused) == (503, "BusyError", message)
        assert refused.headers["retry-after"] == "1"

        start = time.perf_counter()
        for address in ("/health", "/health/live", "/health/ready", "/"):
            assert client.get(address).status_code == 200
        # The gate is shut: if health waited for inference it would wait for ever. 5 s is for a busy machine.
        assert time.perf_counter() - start < 5

        assert not any(future.done() for future in asked), "those that have a place keep it"
        gate.open.set()
        assert [future.result().status_code for future in asked] == [200, 200, 200]
        assert post(client, "multipart").status_code == 200
        waits = [re.search(r"wait;dur=([\d.]+)", future.result().headers["server-timing"]) for future in asked]
        assert max(float(wait[1]) for wait in waits if wait) > 1, "the time in the queue is told"


def ask_until_refused(client: httpx.Client) -> httpx.Response:
    """Asks until every place is taken. The question takes none itself: while one is free it is refused with 422."""
    answers: list[httpx.Response] = []

    def refused() -> bool:
        answers.append(client.post("/predict?threshold=abc", content=PHOTO))
        return answers[-1].status_code == 503

    wait_until(refused)
    return answers[-1]


def test_work_in_hand_is_finished_at_shutdown_and_the_model_closed(gate: Gate) -> None:
    backend = FakeBackend(gate)
    with ThreadPoolExecutor(1) as pool:
        with running(Segmenter(MANIFEST, backend)) as client:
            gate.shut()
            asked = pool.submit(httpx.post, f"{client.base_url}/predict", content=PHOTO, trust_env=False)
            assert gate.entered.acquire(timeout=10)
            threading.Timer(0.3, gate.open.set).start()
        assert asked.result().status_code == 200
    assert backend.closed


def test_a_deadline_ends_waiting_and_drops_what_has_not_begun(gate: Gate) -> None:
    with running(segmenter(gate), ServerSettings(deadline=0.5)) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        first = pool.submit(client.post, "/predict", content=PHOTO)
        assert gate.entered.acquire(timeout=20)
        calls = gate.calls
        answer = client.post("/predict", content=PHOTO, headers={"X-Request-Timeout": "0.1"})
        message = "no answer within 0.1 s, the deadline. Try again in a moment, or allow more time."
        assert error(answer) == (503, "DeadlineError", message)
        assert answer.headers["retry-after"] == "1"
        assert error(first.result())[1] == "DeadlineError", "the setting's own"
        gate.open.set()
        wait_until(lambda: figure(client, "vesselrt_places_taken") == 0)
        assert gate.calls == calls + 3, "of the first its other windows were run, of the second none"
        assert figure(client, "vesselrt_dropped_total", reason="deadline") == 2
        assert client.post("/predict", content=PHOTO).status_code == 200


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_timeout_that_is_none(client: httpx.Client, text: str) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"X-Request-Timeout": text})
    assert error(answer) == (422, "OptionError", f"X-Request-Timeout is {text!r}. Expected seconds, such as 2.5.")


def test_who_leaves_is_forgotten(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with running(segmenter(gate)) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        first = pool.submit(client.post, "/predict", content=PHOTO)
        assert gate.entered.acquire(timeout=20)
        calls = gate.calls
        with caplog.at_level(logging.WARNING):
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PHOTO)}\r\n\r\n"
            with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as leaver:
                leaver.sendall(head.encode() + PHOTO)
                wait_until(lambda: figure(client, "vesselrt_places_taken") == 2)
            wait_until(lambda: figure(client, "vesselrt_places_taken") == 1)
        gate.open.set()
        assert first.result().status_code == 200
        assert gate.calls == calls + 3, "nothing was run for who left"
        assert figure(client, "vesselrt_dropped_total", reason="left") == 1
        assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_what_waits_is_let_go_when_its_client_leaves(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> int:
        service = Service(
            [ServedModel("test", segmenter(gate), warm=True)], ServerSettings(maps_bytes=0), ServerMetrics()
        )
        await asyncio.wrap_future(service.start())
        gate.shut()

        def ask() -> "tuple[asyncio.Task[Any], weakref.ref[Any]]":
            pixels = partial(picture, 83)  # an object that is held by nobody else
            work = PhotoTask(Pixels(83 * 97, pixels), lambda *_: BatchFile(b"", {}, ()), 1)
            return asyncio.create_task(service.segment(work)), weakref.ref(pixels)

        first, _ = ask()
        await asyncio.to_thread(gate.entered.acquire)
        asked = [ask() for _ in range(5)]
        await asyncio.sleep(0)
        for task, _ in asked:
            task.cancel()
        await asyncio.wait([task for task, _ in asked])
        photographs = [photograph for _, photograph in asked]
        del asked, task
        gc.collect()
        kept = sum(photograph() is not None for photograph in photographs)
        first.cancel()  # while it is worked on
        gate.open.set()
        await service.stop()
        gc.collect()
        return kept

    assert asyncio.run(leave()) == 0
    assert caplog.records == [], "that the answer comes too late is no fault of the server"


def test_what_the_drain_does_not_finish_is_told_to_come_again(gate: Gate) -> None:
    with ThreadPoolExecutor(1) as pool:
        with running(segmenter(gate), ServerSettings(drain=1)) as client:
            gate.shut()
            asked = pool.submit(httpx.post, f"{client.base_url}/predict", content=PHOTO, timeout=20, trust_env=False)
            assert gate.entered.acquire(timeout=20)
            threading.Timer(2, gate.open.set).start()  # the thread itself can't be stopped
        answer = asked.result()
        assert error(answer)[:2] == (503, "NotReadyError")
        assert answer.headers["retry-after"] == "1"
