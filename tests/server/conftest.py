"""What the tests of the server share."""

from collections.abc import Iterator

import httpx
import pytest
from serving import Gate, running, segmenter

from vesselrt.server.settings import ServerSettings


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """A server with a small limit on batches."""
    with running(segmenter(), ServerSettings(max_batch=3, max_batch_bytes=200_000), decoders=True) as client:
        yield client


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()
