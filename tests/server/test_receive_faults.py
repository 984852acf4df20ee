"""A node of a DICOM network under attack, with a full disk, and before archives that fail."""

import io
import socket
import struct
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dicom_files import raw_dicom
from dicom_nodes import MORE, SECONDS, Archive, names, net, photo, pydicom, running, send, wait_until_empty
from serving import wait_until

from vesselrt.server.dicom import network, sender, spool
from vesselrt.server.dicom.spool import Spool

pytestmark = pytest.mark.usefixtures("_quick_node")


def test_senders_that_stop_in_the_middle_of_a_unit_hold_no_place(
    folder: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "SECONDS", 0.3)
    with running(folder, archive) as node, ExitStack() as stack:
        for _ in range(9):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", node.port), SECONDS))
            connection.sendall(struct.pack(">BBL", 1, 0, 5000) + b"begun")
        wait_until(lambda: send(node.port, photo()) == [0])


def test_an_association_that_sends_no_photograph_ends(
    folder: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(network, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with running(folder, archive) as node:
        entity, sent = net.AE(), pydicom.dcmread(io.BytesIO(photo()))
        entity.add_requested_context(net.sop_class.Verification)
        entity.add_requested_context(sent.SOPClassUID, sent.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", node.port)
        connection = association.dul.socket.socket
        clock[0] += 500
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(sent).Status == 0
        clock[0] += 500
        assert association.send_c_echo().Status == 0
        clock[0] += 101
        assert "Status" not in association.send_c_echo()
        wait_until(lambda: not association.is_established)
        connection.close()  # pynetdicom leaves that to the garbage collector


def test_the_end_waits_neither_for_a_sender_nor_for_an_archive(folder: Path, archive: Archive) -> None:
    let_go, asked = threading.Event(), threading.Event()

    def hang(_: Any) -> int:
        asked.set()
        let_go.wait(SECONDS)
        return 0

    archive.answer = hang
    try:
        with running(folder, archive) as node:
            stalled = socket.create_connection(("127.0.0.1", node.port), SECONDS)
            stalled.sendall(struct.pack(">BBL", 1, 0, 5000))
            assert send(node.port, photo()) == [0]
            assert asked.wait(SECONDS)
            started = time.monotonic()
        assert time.monotonic() - started < SECONDS / 3
    finally:
        let_go.set()
    assert [name.partition("/")[0] for name in names(folder)] == ["outgoing"]
    stalled.close()


@pytest.mark.parametrize("refusal", ["status", "abort"])
def test_a_result_that_is_refused_for_ever_holds_up_no_other(
    folder: Path, archive: Archive, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refusal == "status":
        monkeypatch.setattr(sender, "_FIRST_PAUSE", 2 * SECONDS)

    def refuse_the_first(event: Any) -> int:
        if (
            event.dataset.ReferencedSeriesSequence[0]
            .ReferencedInstanceSequence[0]
            .ReferencedSOPInstanceUID.endswith(".1")
        ):
            if refusal == "abort":
                event.assoc.abort()
            return 0xC000
        archive.results.append(event.dataset)
        return 0

    archive.answer = refuse_the_first
    with running(folder, archive) as node:
        for number in range(1, 5):
            assert send(node.port, photo(number)) == [0]
        wait_until(lambda: len(archive.results) == 3)
    assert len(names(folder)) == 1


def test_what_others_put_into_the_queue_stops_nothing(folder: Path, archive: Archive) -> None:
    with closing(Spool(folder, MORE)):
        pass
    (folder / "outgoing" / "note.txt").write_text("x")
    (folder / "outgoing" / "a").mkdir()
    (folder / "outgoing" / "a" / "0001-dicom-seg.dcm").write_bytes(b"no DICOM")
    (folder / "incoming" / "folder.dcm").mkdir()
    (folder / "incoming" / "empty.dcm").touch()
    with running(folder, archive) as node:
        assert send(node.port, photo(1)) == [0]
        archive.wait_for(1)


def test_a_full_disk_ends_nothing_and_is_not_filled_further(
    folder: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write_half(path: Path, content: bytes) -> None:
        path.write_bytes(content[:10])
        raise OSError(28, "No space left on device")

    with running(folder, archive) as node:
        with monkeypatch.context() as patch:
            patch.setattr(spool, "_write_synced", write_half)
            assert send(node.port, photo(1)) == [0xA700]
        assert send(node.port, photo(1)) == [0]
        archive.wait_for(1)
        wait_until_empty(folder)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", lambda *_: write_half(folder / "half", b""))
            assert send(node.port, raw_dicom(np.zeros((20, 30, 3), np.uint8), StudyInstanceUID="")) == [0]
            wait_until(lambda: "waits: No space left" in caplog.text)
        assert send(node.port, photo(3)) == [0]
        archive.wait_for(2)
    assert not list((folder / "making").iterdir())


def test_a_photograph_that_is_worked_off_meanwhile_is_no_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Spool(folder, MORE)) as kept:
        kept.keep("1", b"first")
        (first,) = kept.waiting()
        listed = list((folder / "incoming").iterdir())
        monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
        first.unlink()
        kept.keep("2", b"second")
        monkeypatch.undo()
        assert [one.read_bytes() for one in kept.waiting()] == [b"second"]


def test_a_photograph_whose_results_went_out_meanwhile_leaves_no_empty_folder(folder: Path) -> None:
    with closing(Spool(folder, MORE)) as kept:
        kept.keep("1", b"photo")
        (one,) = kept.waiting()
        kept.finish(one, {})
        assert not list((folder / "outgoing").iterdir())
