"""Decoder processes: the same pixels, and an end for every file that costs too much."""

import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.runtime.errors import CallCancelledError, ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo import processes
from vesselrt.runtime.photo.decoding import Limits, decode_photo
from vesselrt.runtime.photo.processes import DecoderPool
from vesselrt.runtime.stages import CancelToken

pytestmark = pytest.mark.skipif(not processes.SUPPORTED, reason="not on Linux")


def png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Pillow.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


def test_it_gives_what_decoding_here_gives(pool: DecoderPool, fundus_jpeg: bytes) -> None:
    for data, enough in ((fundus_jpeg, None), (fundus_jpeg, 80.0), (png(31, 57), None)):
        expected, found = decode_photo(data, Limits(), enough), pool.decode(data, Limits(), enough)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert (found.reduction, found.size, found.warnings) == (
            expected.reduction, expected.size, expected.warnings,
        )  # fmt: skip


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "AVIF"])
def test_a_new_process_reads_every_format(form: str) -> None:
    file, pool = io.BytesIO(), DecoderPool(1)  # whose libraries are not loaded yet
    Pillow.open(io.BytesIO(png(150, 200))).save(file, form)
    try:
        found = pool.decode(file.getvalue(), Limits(), None)
        np.testing.assert_array_equal(found.pixels, decode_photo(file.getvalue()).pixels)
    finally:
        pool.close()


@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True, "quality": 0}], ids=["lossy", "lossless"])
def test_the_limit_of_memory_lets_large_photographs_pass(
    pool: DecoderPool, fundus_jpeg: bytes, options: dict[str, int]
) -> None:
    file = io.BytesIO()
    Pillow.open(io.BytesIO(fundus_jpeg)).resize((5600, 5000)).save(file, "WEBP", method=0, **options)
    assert pool.decode(file.getvalue(), Limits(), None).size == (5000, 5600)


def test_what_is_refused_is_refused_by_the_same_words(pool: DecoderPool, fundus_jpeg: bytes) -> None:
    for data, limits in ((fundus_jpeg[:3000], Limits()), (b"", Limits()), (fundus_jpeg, Limits(formats=("png",)))):
        with pytest.raises(ImageDecodeError) as here:
            decode_photo(data, limits)
        with pytest.raises(ImageDecodeError) as there:
            pool.decode(data, limits, None)
        assert str(there.value) == str(here.value)
    with pytest.raises(ImageTooLargeError, match="the limit is 100"):
        pool.decode(fundus_jpeg, Limits(pixels=100), None)


def test_a_process_serves_one_photograph_after_the_other(pool: DecoderPool, fundus_jpeg: bytes) -> None:
    worker = pool._idle.queue[0]
    first = pool.decode(fundus_jpeg, Limits(), None).pixels
    kept = first.copy()
    pool.decode(png(320, 288), Limits(), None)  # of the same size: nothing of it comes into what was answered before
    np.testing.assert_array_equal(first, kept)
    assert pool._idle.queue[0] is worker


def test_processor_time_is_limited_by_the_system() -> None:
    pool = DecoderPool(1, seconds=0.001)
    try:
        with pytest.raises(ImageTooLargeError, match=r"decoding takes more than 0\.001 s of processor time"):
            pool.decode(png(2000, 3000), Limits(), None)
        pool._seconds = 30
        assert pool.decode(png(20, 30), Limits(), None).size == (20, 30)  # a new process has taken its place
    finally:
        pool.close()


def test_memory_is_limited_by_what_the_photograph_declares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import numpy, vesselrt.runtime.photo.decoding as decoding\n"
        "original = decoding.decode_opened\n"
        "def greedy(encoded, enough):\n"
        "    numpy.ones(300 * 2**20, numpy.uint8)\n"
        "    return original(encoded, enough)\n"
        "decoding.decode_opened = greedy\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pool = DecoderPool(1)
    try:
        with pytest.raises(MemoryError):
            pool.decode(png(20, 30), Limits(), None)
    finally:
        pool.close()


def test_a_declared_size_is_admitted_before_a_pixel_is_decoded(pool: DecoderPool, fundus_jpeg: bytes) -> None:
    class TooMuchError(Exception):
        pass

    def refuse(pixels: int) -> None:
        declared.append(pixels)
        raise TooMuchError

    declared: list[int] = []
    pool.decode(fundus_jpeg, Limits(), None, declared.append)
    worker = pool._idle.queue[0]
    for decode in (pool.decode, decode_photo):
        with pytest.raises(TooMuchError):
            decode(fundus_jpeg, Limits(), None, refuse)
    assert declared == [320 * 288] * 3
    assert pool._idle.queue[0] is worker, "a refusal costs no process"
    with pytest.raises(ImageDecodeError):
        pool.decode(fundus_jpeg[:100], Limits(), None, declared.append)
    assert len(declared) == 3
    assert pool.decode(fundus_jpeg, Limits(), None).size == (320, 288)


@pytest.mark.parametrize(
    ("declared", "shape", "size", "how"),
    [
        (10**9, (30, 20, 3), (30, 20), r"it declares 1000000000 pixels"),
        (600, (3000, 2000, 3), (3000, 2000), r"2000 × 3000 pixels, 600 were declared"),
        (600, (30, 20, 3), (3000, 2000), r"2000 × 3000 pixels, 600 were declared"),
        (600, (-30, -20, 3), (-30, -20), r"-20 × -30 pixels, 600 were declared"),
    ],
)
def test_a_decoder_that_was_taken_over_is_not_believed(
    declared: int,
    shape: tuple[int, ...],
    size: tuple[int, int],
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'vesselrt.runtime.photo.worker' in sys.orig_argv:\n"
        "    import types, vesselrt.runtime.photo.decoding as decoding\n"
        f"    decoding.declared_pixels = lambda encoded: {declared}\n"
        f"    data = memoryview(bytes(10**6))\n"
        f"    pixels = types.SimpleNamespace(data=data, shape={shape})\n"
        "    decoding.decode_opened = lambda encoded, enough: types.SimpleNamespace(\n"
        f"        reduction=1, size={size}, warnings=(), origin=None, pixels=pixels)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pool = DecoderPool(1)
    first = pool._idle.queue[0]
    try:
        with pytest.raises(ImageDecodeError, match=rf"^the decoder crashed on it \({how}\)\. Save it again"):
            pool.decode(png(30, 20), Limits(), None)
        assert not first.is_alive
    finally:
        pool.close()


def test_the_caller_can_give_up_in_the_middle(pool: DecoderPool) -> None:
    pool.decode(png(20, 30), Limits(), None)  # it is ready
    worker, large = pool._idle.queue[0], png(3000, 4000)
    started, token = time.monotonic(), CancelToken()
    token.cancel()
    with pytest.raises(CallCancelledError, match=r"^the call was cancelled\.$"):
        pool.decode(large, Limits(), None, cancel=token)
    assert time.monotonic() - started < 5
    assert not worker.is_alive
    assert pool.decode(png(20, 30), Limits(), None).size == (20, 30)


@pytest.mark.parametrize(("ended_by", "error"), [(signal.SIGKILL, MemoryError), (signal.SIGSEGV, ImageDecodeError)])
def test_a_process_that_dies_is_replaced(pool: DecoderPool, ended_by: signal.Signals, error: type[Exception]) -> None:
    pool.decode(png(20, 30), Limits(), None)
    os.kill(pool._idle.queue[0]._process.pid, ended_by)
    with pytest.raises(error):
        pool.decode(png(20, 30), Limits(), None)
    assert pool.decode(png(20, 30), Limits(), None).size == (20, 30)


def test_the_processes_end_with_the_pool(recwarn: pytest.WarningsRecorder) -> None:
    pool = DecoderPool(2)
    pids = [worker._process.pid for worker in pool._idle.queue]
    del pool
    gc.collect()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert not list(recwarn)


def test_the_processes_end_with_the_one_that_started_them(fundus_jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(fundus_jpeg)
    code = (
        "import os, pathlib, sys\n"
        "from vesselrt.runtime.photo.processes import DecoderPool\n"
        "from vesselrt.runtime.photo.decoding import Limits\n"
        "pool = DecoderPool(1)\n"
        "pool.decode(pathlib.Path(sys.argv[1]).read_bytes(), Limits(), None)\n"
        "print(pool._idle.queue[0]._process.pid, flush=True)\n"
        "os._exit(0)\n"  # without a chance to tidy up
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "photo.jpg")], capture_output=True, text=True, check=True
    )
    end = time.monotonic() + 10
    while Path(f"/proc/{int(ran.stdout)}/exe").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{int(ran.stdout)}/exe").exists()
