"""Many photographs at once: order, overlap, bounds and ends, without a clock."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray

import vesselrt
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import CallCancelledError, ImageDecodeError, OptionError, SegmenterClosedError
from vesselrt.runtime.photo.decoding import Decoded, Limits, decode_photo
from vesselrt.runtime.photo.photograph import Photograph, PhotoSource
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.runtime.stages import CancelToken

RED = make_manifest(preparation={"channels": "rgb"}, input={"mean": [0, 0, 0], "std": [1, 1, 1]})
SECONDS = 30.0
"""After which a test that waits for another thread fails."""


def photo(level: int) -> Image:
    return np.full((20, 30, 3), level, np.uint8)


def level_of(result: object) -> int:
    assert isinstance(result, Segmentation), result
    return int(result.probability[0, 0])


def fake(function: Callable[[Image], NDArray[np.floating[Any]]] = identity) -> Segmenter:
    return Segmenter(RED, FakeBackend(function))


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vesselrt-many")]


class Meeting:
    """A network in which photographs wait until as many as expected are in it."""

    def __init__(self, expected: int) -> None:
        self._barrier = threading.Barrier(expected)

    def __call__(self, pixels: Image) -> NDArray[np.floating[Any]]:
        self._barrier.wait(SECONDS)
        return identity(pixels)


def test_results_come_in_order_though_the_last_is_ready_first() -> None:
    last_is_done = threading.Event()

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        level = int(pixels[0, 0, 0, 0])
        assert level != 1 or last_is_done.wait(SECONDS)
        if level == 3:
            last_is_done.set()
        return identity(pixels)

    results = fake(network).segment_many(map(photo, (1, 2, 3)), at_once=2)
    assert [level_of(result) for result in results] == [1, 2, 3]


def test_photographs_are_in_the_network_at_once() -> None:
    results = fake(Meeting(3)).segment_many(map(photo, range(6)), at_once=3)
    assert [level_of(result) for result in results] == [*range(6)]


def test_one_is_decoded_and_another_finished_while_a_third_is_in_the_network() -> None:
    meeting = threading.Barrier(3)

    def decode(data: bytes, limits: Limits, enough: float | None, frame: int | None = None) -> Decoded:
        if data == b"to be decoded":
            meeting.wait(SECONDS)
        return Decoded(photo(7), 1, (20, 30), ())

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        if pixels[0, 0, 0, 0] == 5:
            meeting.wait(SECONDS)
        return identity(pixels)

    def then(given: Image | Photograph, result: Segmentation) -> int:
        if level_of(result) == 1:
            meeting.wait(SECONDS)
        return level_of(result)

    photos: list[Image | Photograph] = [photo(1), photo(5), Photograph(b"to be decoded", Limits(), decode)]
    assert [*fake(network).segment_many(photos, then, at_once=3)] == [1, 5, 7]


def test_no_more_are_begun_than_at_once_and_no_more_are_kept_than_twice_as_many() -> None:
    lock, begun, running, most = threading.Lock(), [0], [0], [0]
    taken = threading.Semaphore(0)

    def photos() -> Iterator[Image]:
        for level in range(40):
            assert begun[0] - len(got) < 2 * 3
            begun[0] += 1
            yield photo(level)

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        taken.acquire(timeout=0.001)
        with lock:
            running[0] -= 1
        return identity(pixels)

    got: list[int] = []
    for result in fake(network).segment_many(photos(), at_once=3):
        got.append(level_of(result))  # noqa: PERF401 - the generator above counts them
    assert got == [*range(40)]
    assert most[0] <= 3


def test_a_result_is_not_kept_after_the_caller_took_it() -> None:
    class Given:
        """Pixels that can be watched."""

        def __init__(self, level: int) -> None:
            self.level = level

        def __array__(self, *_: object, **__: object) -> Image:
            return photo(self.level)

    alive: weakref.WeakSet[Given] = weakref.WeakSet()
    results: weakref.WeakSet[Segmentation] = weakref.WeakSet()

    def photos() -> Iterator[Given]:
        for level in range(20):
            one = Given(level)
            alive.add(one)
            yield one
            del one

    for result in fake().segment_many(photos(), at_once=2):
        assert isinstance(result, Segmentation)
        results.add(result)
        del result
        gc.collect()
        assert len(results) <= 1  # the loop's own
        assert len(alive) <= 2 * 2 + 1


def test_errors_stand_in_their_places_and_stop_no_other(tmp_path: Path) -> None:
    photos: list[PhotoSource] = [photo(1), b"no image", photo(2), tmp_path / "gone.png", photo(3)]
    found = [*fake().segment_many(photos, at_once=2)]
    assert [level_of(found[place]) for place in (0, 2, 4)] == [1, 2, 3]
    assert isinstance(found[1], ImageDecodeError)
    assert isinstance(found[3], FileNotFoundError)
    assert str(found[3]).startswith(f"{tmp_path}/gone.png: can't be read")


def test_an_error_holds_no_pixels() -> None:
    class Watched(bytes):
        """A file that can be watched."""

    def decode(data: bytes, limits: Limits, enough: float | None, frame: int | None = None) -> Decoded:
        return decode_photo(b"damaged", limits, enough)

    alive: weakref.WeakSet[Photograph] = weakref.WeakSet()

    def photos() -> Iterator[Photograph]:
        for _ in range(3):
            one = Photograph(Watched(b"x"), Limits(), decode)
            alive.add(one)
            yield one
            del one

    errors = [*fake().segment_many(photos(), at_once=1)]
    gc.collect()
    assert [type(error) for error in errors] == [ImageDecodeError] * 3
    assert not alive


def test_what_follows_gets_photograph_and_result_and_may_fail() -> None:
    def then(given: Image, result: Segmentation) -> tuple[int, int]:
        if given[0, 0, 0] == 2:
            raise OSError(28, "No space left on device")
        return int(given[0, 0, 0]), level_of(result)

    first, error, last = fake().segment_many(map(photo, (1, 2, 3)), then)
    assert (first, last) == ((1, 1), (3, 3))
    assert isinstance(error, OSError)
    assert error.errno == 28


def test_any_other_error_ends_the_iteration_and_leaves_no_thread() -> None:
    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        if pixels[0, 0, 0, 0] == 2:
            raise ZeroDivisionError("a fault")
        return identity(pixels)

    results = fake(network).segment_many(map(photo, range(9)), at_once=2)
    assert [level_of(next(results)), level_of(next(results))] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="a fault"):
        next(results)
    assert own_threads() == []
    with pytest.raises(StopIteration):
        next(results)


def test_an_error_of_the_callers_generator_is_the_callers() -> None:
    def photos() -> Iterator[Image]:
        yield photo(1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        next(fake().segment_many(photos(), at_once=2))
    assert own_threads() == []


def test_a_closed_iterator_ends_what_runs_and_leaves_no_thread() -> None:
    entered, asked = threading.Event(), []

    def network(pixels: Image) -> NDArray[np.floating[Any]]:
        asked.append(int(pixels[0, 0, 0, 0]))
        if len(asked) > 1:
            entered.set()
        return identity(pixels)

    followed: list[int] = []

    def then(given: Image, result: Segmentation) -> int:
        if given[0, 0, 0]:  # all but the first are in here when the iterator is closed
            entered.wait(SECONDS)
        followed.append(level_of(result))
        return level_of(result)

    with closing(fake(network).segment_many(map(photo, range(100)), then, at_once=2)) as results:
        assert next(results) == 0
        assert entered.wait(SECONDS)
    assert own_threads() == []
    assert len(asked) <= 1 + 2 * 2
    assert set(followed) <= set(asked)


def test_leaving_the_loop_is_enough() -> None:
    for result in fake().segment_many(map(photo, range(100)), at_once=2):
        assert level_of(result) == 0
        break
    gc.collect()
    assert own_threads() == []


def test_a_token_ends_all() -> None:
    token = CancelToken()
    results = fake().segment_many(map(photo, range(100)), at_once=2, cancel=token)
    assert level_of(next(results)) == 0
    token.cancel()
    with pytest.raises(CallCancelledError):
        next(results)
    assert own_threads() == []


def test_a_segmenter_that_is_closed_meanwhile_ends_the_iteration() -> None:
    segmenter = fake()
    results = segmenter.segment_many(map(photo, range(100)), at_once=2)
    assert level_of(next(results)) == 0
    segmenter.close()
    with pytest.raises(SegmenterClosedError):
        list(results)
    assert own_threads() == []
    with pytest.raises(SegmenterClosedError):
        segmenter.segment_many([photo(1)])


def test_closing_waits_for_what_follows_a_result() -> None:
    backend = FakeBackend()
    segmenter, closed = Segmenter(RED, backend), []

    def then(given: Image, result: Segmentation) -> None:
        segmenter.close()
        closed.append(backend.closed)

    assert [*segmenter.segment_many([photo(1)], then)] == [None]
    assert (closed, backend.closed) == ([False], True)


@pytest.mark.parametrize("options", [{"at_once": 0}, {"at_once": 1.5}, {"at_once": True}, {"scale": -1}])
def test_options_are_checked_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(options))} is "):
        fake().segment_many([photo(1)], **options)


def test_nothing_gives_nothing() -> None:
    assert [*fake().segment_many([])] == []


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cpu:openvino", "f32"), ("cpu:openvino", "int8"), ("cpu:onnxruntime", "f32"), ("cpu:onnxruntime", "int8")],
)
def test_the_built_in_model_gives_the_same_as_one_after_the_other(device: Any, precision: Any) -> None:
    random = np.random.default_rng(4)
    photos = []
    for side in (300, 333, 420):
        grid = np.hypot(*np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j])[:, :, None] < 0.95
        photos.append((random.integers(60, 200, (side, side, 3)) * grid).astype(np.uint8))
    with vesselrt.load(device=device, precision=precision) as segmenter:
        alone = [segmenter.segment(one) for one in photos]
        several = [*segmenter.segment_many(photos * 2, at_once=3)]
    for expected, found in zip(alone * 2, several, strict=True):
        assert isinstance(found, Segmentation)
        np.testing.assert_array_equal(found.probability, expected.probability)
        assert found.encode() == expected.encode()
