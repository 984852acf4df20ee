"""What the tests of the server share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from serving import Gate, running, segmenter

from vesselrt.server.settings import ServerSettings

if TYPE_CHECKING:
    from dicom_nodes import Archive


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The queue of a node of DICOM."""
    return tmp_path / "queue"


@pytest.fixture
def archive() -> "Iterator[Archive]":
    """Where a node of DICOM sends its results; it answers."""
    from dicom_nodes import Archive  # which skips where the extra is not installed

    found = Archive()
    found.open()
    yield found
    found.close()


@pytest.fixture
def _quick_node(monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_nodes import be_quick

    be_quick(monkeypatch)
