"""What these tests share."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bench_photos import png

from vesselrt.benchmarks.photos import Photo


@pytest.fixture
def noise() -> Photo:
    """90 x 70 pixels (width x height)."""
    return Photo("a", "test", png(np.random.default_rng(0).integers(0, 256, (70, 90))), 90, 70)


# The columns beside vesselrt


@pytest.fixture
def compare() -> Iterator[Any]:
    torch = pytest.importorskip("torch", reason="the columns of --compare need the extra bench")
    pytest.importorskip("monai", reason="the columns of --compare need the extra bench")
    pytest.importorskip("onnx", reason="the columns of --compare need the extra bench")
    from vesselrt.benchmarks import compare

    threads = torch.get_num_threads()
    yield compare
    torch.set_num_threads(threads)
