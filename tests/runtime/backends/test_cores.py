"""Photographs that are in work at once share the cores: each computes on its own, and one alone on all."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from divisible import Divisible
from manifests import make_manifest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.cores import SharedCores
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.modelfile import find_model_file
from vesselrt.runtime.segmenter import Segmenter

SECONDS = 30.0
RED = make_manifest(preparation={"channels": "rgb"}, input={"mean": [0, 0, 0], "std": [1, 1, 1]})
PHOTO = np.full((20, 30, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("threads", "photographs", "expected"),
    [
        (1, 1, [1]),
        (1, 5, [1]),  # all cores are one: they take turns
        (2, 1, [2]),
        (2, 2, [1, 1]),
        (2, 9, [1, 1]),
        (3, 3, [1, 1, 1]),
        (8, 1, [8]),
        (8, 2, [4, 4]),
        (8, 3, [2, 2, 2, 2]),
        (8, 9, [2, 2, 2, 2]),
        (6, 4, [1, 1, 2, 2]),  # no core is left over
    ],
)
def test_shares_have_all_cores_together(threads: int, photographs: int, expected: list[int]) -> None:
    whole = Divisible(threads)
    cores = SharedCores(whole)
    blocks = [cores.backend_for(photographs) for _ in expected]
    taken = [block.__enter__() for block in blocks]
    assert sorted(backend.info.threads for backend in taken) == expected
    assert len({id(backend) for backend in taken}) == len(expected)
    for block in blocks:
        block.__exit__(None, None, None)
    with cores.backend_for(photographs) as again:
        assert again in taken, "shares are made once"
    cores.close()
    assert [backend.closed for backend in whole.made] == [True] * len(whole.made)


def test_shares_that_can_not_be_made_are_an_error_each_time_and_nobody_waits() -> None:
    class Broken(Divisible):
        def with_threads(self, threads: int) -> Divisible:
            raise MemoryError(f"{len(self.made)} of them")

    cores = SharedCores(Broken(2))
    for _ in range(2):
        with pytest.raises(MemoryError), cores.backend_for(2):
            pytest.fail("there is nothing to compute on")
    cores.close()


def test_one_more_waits_until_a_share_is_free() -> None:
    cores, entered = SharedCores(Divisible(2)), threading.Event()

    def enter() -> None:
        with cores.backend_for(2):
            entered.set()

    first, second = cores.backend_for(2), cores.backend_for(2)
    first.__enter__()
    second.__enter__()
    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.05)
    first.__exit__(None, None, None)
    assert entered.wait(SECONDS)
    thread.join()
    second.__exit__(None, None, None)


def test_a_backend_that_can_not_be_divided_is_used_by_all() -> None:
    backend = FakeBackend()
    backend.info = replace(backend.info, threads=4)
    cores = SharedCores(backend)
    with cores.backend_for(3) as one, cores.backend_for(3) as other:
        assert one is other is backend


def test_calls_of_several_threads_share_and_one_alone_has_all() -> None:
    meeting = threading.Barrier(2)

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        if pixels[0, 0, 0, 0] == 1:
            meeting.wait(SECONDS)
        return identity(pixels)

    whole = Divisible(2, network)
    with Segmenter(RED, whole) as segmenter:
        assert segmenter.at_once == 2
        segmenter.segment(PHOTO)
        assert [len(backend.shapes) for backend in whole.made] == [1]
        both = [threading.Thread(target=segmenter.segment, args=(np.ones_like(PHOTO),)) for _ in range(2)]
        with segmenter.working():  # this thread has a photograph too: none of theirs is ever alone
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
        assert [(backend.info.threads, len(backend.shapes)) for backend in whole.made] == [(2, 1), (1, 1), (1, 1)]
        segmenter.segment(PHOTO)
        assert len(whole.shapes) == 2, "alone again"
    assert [backend.closed for backend in whole.made] == [True] * 3


def test_what_follows_a_result_counts_as_work_on_a_photograph() -> None:
    encoding, inferred = threading.Event(), threading.Event()

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        if pixels[0, 0, 0, 0] == 1:
            assert encoding.wait(SECONDS)
        return identity(pixels)

    def then(photo: Image, result: object) -> None:
        if photo[0, 0, 0] == 90:
            encoding.set()
            assert inferred.wait(SECONDS)
        else:
            inferred.set()

    whole = Divisible(2, network)
    assert [*Segmenter(RED, whole).segment_many([PHOTO, np.ones_like(PHOTO)], then, at_once=2)] == [None] * 2
    assert sum(len(backend.shapes) for backend in whole.made) == 2
    assert len(whole.shapes) <= 1, "while the first is encoded, the second has no core more than its own"


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_a_share_of_openvino_gives_the_same_bit_for_bit(precision: Any) -> None:
    openvino = pytest.importorskip("vesselrt.runtime.backends.openvino", reason="needs OpenVINO")
    path = find_model_file(None)
    path = path.with_suffix(".int8.onnx") if precision == "int8" else path
    openvino.OpenVinoBackend(path, precision, 1).close()  # so that the next one comes from the cache
    whole = openvino.OpenVinoBackend(path, precision, usable_cores())
    share = whole.with_threads(1)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 1, 256, 192), np.uint8)
    expected = next(whole.infer([pixels]))
    whole.close()
    np.testing.assert_array_equal(next(share.infer([pixels])), expected)
    assert (share.info.threads, share.info.precision) == (1, precision)


PINNED = """
import contextlib, os, threading
from pathlib import Path
import numpy as np
import vesselrt

def narrowest():
    counts = []
    for path in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that has just ended
            counts.append(len(os.sched_getaffinity(int(path.name))))
    return min(counts)

pixels = np.zeros((1, 1, 768, 768), np.uint8)
(network,) = vesselrt.load(device="cpu:openvino", threads=1)._members.networks
backend, found, done = network.backend, [], threading.Event()
next(backend.infer([pixels]))

def run():
    for _ in range(3):
        next(backend.infer([pixels]))
    done.set()

thread = threading.Thread(target=run)
thread.start()
while not done.wait(0.002):
    found.append(narrowest())
thread.join()
print(min(found), len(os.sched_getaffinity(0)))
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or usable_cores() < 2, reason="this system tells no thread's cores, or has one"
)
def test_a_thread_of_openvino_is_not_bound_to_the_first_core() -> None:
    """Bound, several processes of one thread each would all compute on one core, whatever cores there are."""
    pytest.importorskip("openvino", reason="needs OpenVINO")
    done = subprocess.run([sys.executable, "-c", PINNED], capture_output=True, text=True, check=True, timeout=300)
    narrowest, usable = map(int, done.stdout.split())
    assert narrowest == usable
