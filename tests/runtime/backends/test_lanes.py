"""How batches travel to a GPU and back: in order, beside each other, within its memory. The GPU is a fake."""

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_cuda import FakeCuda
from fake_tensorrt import TILE, FakeTensorRt, backend_of, engine_of, manifest_of, windows, within_10_s

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.lanes import LANES, batch_sizes
from vesselrt.runtime.engines.enginefile import Flavour
from vesselrt.runtime.errors import DeviceError, OptionError
from vesselrt.runtime.segmenter import Segmenter


def reusing_one_array(batches: Iterable[Image]) -> Iterator[Image]:
    buffer = np.zeros((16, 1, TILE, TILE), np.uint8)
    for batch in batches:
        buffer[: len(batch)] = batch
        yield buffer[: len(batch)]
        buffer[:] = 55


@pytest.mark.parametrize("flavour", ["tensorrt_rtx", "tensorrt"])
def test_batches_come_back_in_order(flavour: Flavour) -> None:
    trt = FakeTensorRt(FakeCuda(), flavour)
    backend = backend_of(trt, engine_of(flavour=flavour))
    assert str(backend.info) == f"cuda (RTX 2080 Ti), fp16, {flavour} 1.2.3.4"
    given = windows(4, 1, 3, 2, 4, 4, 1)
    answers = list(backend.infer(reusing_one_array(given)))
    assert [a.shape for a in answers] == [b.shape for b in given]
    for answer, batch in zip(answers, given, strict=True):
        np.testing.assert_array_equal(answer, 255 - batch)
    backend.close()
    backend.close()
    assert trt.cuda.in_use == 0


def test_threads_share_the_lanes(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    calls = [windows(*(1 + (i + j) % 4 for j in range(5))) for i in range(40)]
    with ThreadPoolExecutor(9) as pool:
        for given, answers in zip(
            calls, pool.map(lambda c: list(backend.infer(reusing_one_array(c))), calls), strict=True
        ):
            for answer, batch in zip(answers, given, strict=True):
                np.testing.assert_array_equal(answer, 255 - batch)
    backend.close()
    assert trt.cuda.in_use == 0


def test_everything_is_captured_when_the_engine_is_loaded_and_nothing_later(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    assert len(trt.cuda.graphs) == LANES * len(batch_sizes(1, 4))
    assert {len(graph) for graph in trt.cuda.graphs.values()} == {3}  # copy in, network, copy out
    assert trt.configs[0].dynamic_shapes_kernel_specialization_strategy == "eager"
    graphs, asked = dict(trt.cuda.graphs), len(trt.asked)
    assert len(list(backend.infer(windows(1, 2, 3, 4, 1)))) == 5
    assert trt.cuda.graphs == graphs
    assert len(trt.asked) == asked  # TensorRT itself is asked for nothing any more


def test_the_next_batch_is_on_its_way_before_an_answer_is_used(trt: FakeTensorRt) -> None:
    backend, taken = backend_of(trt), list[int]()

    def batches() -> Iterator[Image]:
        for number, batch in enumerate(windows(1, 1, 1, 1)):
            taken.append(number)
            yield batch

    answers = backend.infer(batches())
    assert taken == []  # nothing begins before somebody asks
    for _ in range(3):
        next(answers)
        assert any(trt.cuda.streams.values()), "the GPU has nothing to do while this answer is used"
    assert taken == [0, 1, 2, 3]
    assert len(list(answers)) == 1
    assert not any(trt.cuda.streams.values())


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (1, 1, [1]),
        (1, 2, [1, 2]),
        (1, 4, [1, 2, 4]),
        (1, 6, [1, 2, 4, 6]),
        (2, 3, [2, 3]),
        (3, 3, [3]),
        (1, 9, [1, 2, 4, 8, 9]),
    ],
)
def test_sizes_that_are_kept_ready(least: int, most: int, expected: list[int]) -> None:
    assert batch_sizes(least, most) == expected


def test_a_batch_between_two_sizes_runs_as_the_larger(trt: FakeTensorRt) -> None:
    backend = backend_of(trt, engine_of(6, least=2))
    for given in windows(1, 2, 3, 5, 6):
        (answer,) = backend.infer([given])
        np.testing.assert_array_equal(answer, 255 - given)


def test_a_caller_that_leaves_gives_its_lanes_back(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    for taken in range(4):
        answers = backend.infer(windows(1, 2, 3, 4))
        for _ in range(taken):
            next(answers)
        answers.close()  # type: ignore[attr-defined]

    def breaks_off() -> Iterator[Image]:
        yield from windows(1, 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(backend.infer(breaks_off()))
    assert backend._lanes.free == LANES
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_photograph_through_tiles_is_the_whole_photograph(trt: FakeTensorRt) -> None:
    random = np.random.default_rng(3)
    photo = random.integers(0, 256, (150, 101, 3), np.uint8)
    with Segmenter(manifest_of(), backend_of(trt)) as segmenter:
        np.testing.assert_array_equal(segmenter.segment(photo).probability, 255 - photo[:, :, 1])


@pytest.mark.parametrize("shape", [(5, 1, 32, 32), (1, 1, 16, 32), (1, 1, 64, 64), (1, 3, 32, 32)])
def test_windows_that_the_engine_does_not_take(trt: FakeTensorRt, shape: tuple[int, ...]) -> None:
    backend = backend_of(trt)
    with pytest.raises(OptionError, match=r"^\d windows of .* at once\. This engine takes up to 4 of 32 × 32 pi"):
        list(backend.infer([np.zeros(shape, np.uint8)]))
    assert backend._lanes.free == LANES


# Memory: of a lane 2 × batch × 32 × 32 bytes for the windows, 1000 × batch for the network.
LANE = 2 * TILE * TILE + 1000


def test_a_batch_that_does_not_fit_is_halved_once_for_each_size(caplog: pytest.LogCaptureFixture) -> None:
    trt = FakeTensorRt(FakeCuda(2 * LANE * LANES))
    trt.cuda.room = trt.cuda.memory = 2 * LANE  # one lane of two windows
    backend = backend_of(trt, engine_of(8))
    assert backend.batch == 2
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "the GPU's memory does not hold batches of 8: halved to 4",
        "the GPU's memory does not hold batches of 4: halved to 2",
        f"the GPU's memory holds 1 of {LANES} lanes",
    ]
    (answer,) = backend.infer(windows(2))
    np.testing.assert_array_equal(answer, 255 - windows(2)[0])
    assert len(list(backend.infer(windows(1, 2, 1, 2)))) == 4  # by the one lane that there is
    with pytest.raises(OptionError, match="takes up to 2 of"):
        list(backend.infer(windows(3)))
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_gpu_without_room_for_one_window_is_named_and_left_as_it_was() -> None:
    trt = FakeTensorRt(FakeCuda(LANE - 1))
    with pytest.raises(DeviceError, match=r"^the GPU's memory does not suffice for 1 window\(s\) of 32 px\. See"):
        backend_of(trt)
    assert trt.cuda.in_use == 0


def test_a_network_that_can_not_be_captured_runs_without_graphs_and_says_so(
    trt: FakeTensorRt, caplog: pytest.LogCaptureFixture
) -> None:
    trt.capturable = False
    backend = backend_of(trt)
    (answer,) = backend.infer(windows(3))
    np.testing.assert_array_equal(answer, 255 - windows(3)[0])
    assert "it runs without CUDA graphs" in caplog.text
    assert trt.cuda.graphs == {}


def test_those_who_wait_for_a_lane_learn_that_the_gpu_failed(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    holding = [backend.infer(windows(1, 1, 1)) for _ in range(LANES // 2)]
    for answers in holding:
        next(answers)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(lambda: list(backend.infer(windows(1)))) for _ in range(3)]
        trt.cuda.fails = True
        with pytest.raises(DeviceError, match="The RTX 2080 Ti failed: it fell off the bus"):
            next(holding[0])
        for one in waiting:
            with pytest.raises(DeviceError, match="The RTX 2080 Ti failed: it fell off the bus"):
                one.result(timeout=10)
    holding[1].close()  # type: ignore[attr-defined]
    backend.close()
    assert trt.cuda.in_use == 0


def test_a_model_that_is_closed_gives_each_lane_back_when_it_is_done(trt: FakeTensorRt) -> None:
    backend = backend_of(trt)
    answers = backend.infer(windows(1, 1))
    next(answers)
    backend.close()
    assert trt.cuda.in_use > 0
    assert len(list(answers)) == 1
    assert trt.cuda.in_use == 0
    with pytest.raises(DeviceError, match=r"^The model was closed: load it again\.$"):
        within_10_s(lambda: list(backend.infer(windows(1))))
