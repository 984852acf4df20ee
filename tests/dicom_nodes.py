"""A node of a DICOM network for tests, its sender, and the archive behind it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dicom_files import raw_dicom
from serving import free_port, picture, segmenter

from vesselrt.runtime.photo import processes
from vesselrt.server.dicom import sender
from vesselrt.server.dicom.node import Node, NodeSettings
from vesselrt.server.dicom.sender import Receiver
from vesselrt.server.dicom.spool import Spool

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
pytest.importorskip("highdicom", reason="the extra dicom is not installed, or has no build for this Python")
net = pytest.importorskip("pynetdicom", reason="the extra dicom is not installed")
SECONDS = 30
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
MORE = 10**9


class Archive:
    """Where results go: keeps what it is sent, or answers `status`."""

    def __init__(self) -> None:
        self.port, self.status = free_port(), 0x0000
        self.results = list[Any]()
        self._server: Any = None
        self._came = threading.Condition()
        self.answer: Callable[[Any], int] = self._store

    def open(self) -> None:
        entity = net.AE(ae_title="ARCHIVE")
        for kind in sender.RESULT_KINDS:
            entity.add_supported_context(kind)
        handlers = [(net.evt.EVT_C_STORE, self._answer)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _answer(self, event: Any) -> int:
        return self.answer(event)

    def _store(self, event: Any) -> int:
        with self._came:
            if self.status == 0:
                self.results.append(event.dataset)
            self._came.notify_all()
        return self.status

    def wait_for(self, count: int) -> list[Any]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.results) >= count, SECONDS), len(self.results)
        return self.results


def be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses."""
    monkeypatch.setattr(sender, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(sender, "_LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(processes, "SUPPORTED", False)  # a process for decoding takes a second to start


@contextmanager
def running(folder: Path, archive: Archive, most: int = MORE, **more: Any) -> Iterator[Node]:
    settings = NodeSettings(Receiver("127.0.0.1", archive.port, "ARCHIVE"), port=0, **more)
    with segmenter() as model, closing(Spool(folder, most)) as spool:
        node = Node(model, spool, settings)
        try:
            yield node
        finally:
            node.close()


def send(port: int, *files: bytes, title: str = "CAMERA") -> list[int | None]:
    """The status of each; None: the association ended."""
    entity = net.AE(ae_title=title)
    datasets = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)) for file in files]
    for ds in datasets:
        entity.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port)
    if not association.is_established:
        return [None] * len(files)
    answers = [association.send_c_store(ds) if association.is_established else {} for ds in datasets]
    association.release()
    return [answer.Status if "Status" in answer else None for answer in answers]


def photo(number: int = 1, **more: Any) -> bytes:
    return raw_dicom(picture(seed=number), SOPInstanceUID=f"1.2.3.4.{number}", **more)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def wait_until_empty(folder: Path) -> None:
    end = time.monotonic() + SECONDS
    while names(folder):
        assert time.monotonic() < end, names(folder)
        time.sleep(0.02)
