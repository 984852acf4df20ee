"""A node of a DICOM network, spoken to by pynetdicom's own clients."""

import logging
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from dicom_files import SECRETS, raw_dicom, series_dicom
from dicom_nodes import (
    MORE,
    SECONDS,
    SEGMENTATION,
    Archive,
    names,
    net,
    photo,
    pydicom,
    running,
    send,
    wait_until_empty,
)
from serving import picture, segmenter

from vesselrt.runtime.errors import OptionError
from vesselrt.server.dicom import sender
from vesselrt.server.dicom.node import Node, checked_formats
from vesselrt.server.dicom.sender import Receiver
from vesselrt.server.dicom.spool import Spool

pytestmark = pytest.mark.usefixtures("_quick_node")


def test_a_photograph_comes_in_and_its_results_go_out(folder: Path, archive: Archive) -> None:
    formats = checked_formats(["dicom-seg", "dicom-probability"])
    with running(folder, archive, formats=formats) as node:
        assert send(node.port, photo()) == [0]
        binary, fractional = sorted(archive.wait_for(2), key=lambda result: str(result.SegmentationType))
        wait_until_empty(folder)
    assert (binary.SegmentationType, fractional.SegmentationType) == ("BINARY", "FRACTIONAL")
    for result in (binary, fractional):
        assert result.SOPClassUID == SEGMENTATION
        assert (result.PatientID, result.StudyInstanceUID) == ("PID-77123", "1.2.3.5")
        assert result.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.1"
    mask = segmenter().segment(picture(seed=1)).mask()
    frame = np.unpackbits(np.frombuffer(binary.PixelData, np.uint8), count=mask.size, bitorder="little")
    np.testing.assert_array_equal(frame.reshape(mask.shape), mask)


def test_each_frame_has_its_results(folder: Path, archive: Archive) -> None:
    with running(folder, archive) as node:
        assert send(node.port, series_dicom([picture(seed=1), picture(seed=2)])) == [0]
        archive.wait_for(2)


def test_an_echo_is_answered(folder: Path, archive: Archive) -> None:
    with running(folder, archive) as node:
        entity = net.AE()
        entity.add_requested_context(net.sop_class.Verification)
        association = entity.associate("127.0.0.1", node.port)
        assert association.send_c_echo().Status == 0
        association.release()


# pynetdicom leaves the socket of a connection that was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_results_wait_for_a_receiver_through_a_new_start(folder: Path, archive: Archive) -> None:
    archive.close()
    with running(folder, archive) as node:
        assert send(node.port, photo(1), photo(2)) == [0, 0]
    assert len(names(folder)) == 2  # photographs, results, or one of each
    archive.status = 0xA700
    archive.open()
    with running(folder, archive):
        with archive._came:
            assert archive._came.wait(SECONDS)
        archive.status = 0
        archive.wait_for(2)
        wait_until_empty(folder)
    assert len({result.SOPInstanceUID for result in archive.results}) == 2


@pytest.mark.slow
def test_a_kill_loses_nothing(folder: Path, archive: Archive) -> None:
    def start() -> "tuple[subprocess.Popen[str], int]":
        options = ["--send", f"ARCHIVE@127.0.0.1:{archive.port}", "--queue", str(folder), "--port", "0"]
        code = "from vesselrt.cli import main; main()"
        command = [sys.executable, "-c", code, "receive", *options, "--device", "cpu:onnxruntime"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = next(line for line in iter(process.stderr.readline, "") if "listens on" in line)
        return process, int(line.partition(", port ")[2].partition(";")[0])

    process, port = start()
    assert send(port, *(photo(number) for number in range(4))) == [0] * 4
    process.kill()
    process.communicate()
    process, _ = start()
    archive.wait_for(4)
    wait_until_empty(folder)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
    seen = {
        r.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID for r in archive.results
    }
    assert seen == {f"1.2.3.4.{number}" for number in range(4)}


def test_a_kill_between_two_steps_is_taken_up(folder: Path, archive: Archive) -> None:
    with closing(Spool(folder, MORE)) as spool:
        spool.keep("1", photo(1))
        (kept,) = spool.waiting()
        content = kept.read_bytes()
        spool.finish(kept, {"a": b"result"})
        kept.write_bytes(content)  # the results stood, and the photograph was not gone yet
        assert spool.is_finished(kept)
        spool.finish(kept, {})
        (result,) = spool.results()
        assert (result.read_bytes(), spool.waiting()) == (b"result", [])
        result.unlink()  # sent, and its folder was not gone yet
        (folder / "making" / "half").write_bytes(b"h")
    with closing(Spool(folder, MORE)) as spool:
        spool.keep("1", photo(1))
        assert not spool.is_finished(spool.waiting()[0])
        assert not list((folder / "making").iterdir())


def test_what_can_not_be_used_is_put_aside_and_no_patient_is_named(
    folder: Path, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    torn = pydicom.dcmread(pydicom.filebase.DicomBytesIO(photo(1)))
    torn.PixelData = torn.PixelData[:100]
    file = pydicom.filebase.DicomBytesIO()
    torn.save_as(file)
    with running(folder, archive) as node:
        assert send(node.port, file.getvalue(), photo(2)) == [0, 0]
        archive.wait_for(1)
        end = time.monotonic() + SECONDS
        while len(names(folder)) != 2:
            assert time.monotonic() < end, names(folder)
            time.sleep(0.02)
    told, kept = sorted((folder / "failed").iterdir(), key=lambda file: file.suffix != ".txt")
    assert kept.suffix == ".dcm"
    said = told.read_text("utf-8") + caplog.text + " ".join(names(folder))
    assert "damaged" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_an_error_of_another_library_ends_nothing_and_is_not_quoted(
    folder: Path, archive: Archive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Node._results_of

    def fail_once(node: Node, photo: Path) -> dict[str, bytes]:
        monkeypatch.setattr(Node, "_results_of", make)
        raise ValueError(SECRETS[0])

    monkeypatch.setattr(Node, "_results_of", fail_once)
    with running(folder, archive) as node:
        assert send(node.port, photo(1), photo(2)) == [0, 0]
        archive.wait_for(1)
    assert "an unexpected ValueError" in caplog.text
    assert SECRETS[0] not in caplog.text


def test_a_receiver_that_takes_no_segmentations_lets_them_wait(
    folder: Path, archive: Archive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.close()
    with monkeypatch.context() as patch:
        patch.setattr(sender, "RESULT_KINDS", sender.RESULT_KINDS[1:])
        archive.open()
    with running(folder, archive) as node:
        assert send(node.port, photo()) == [0]
        end = time.monotonic() + SECONDS
        while "takes no dicom-seg" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert [name.partition("/")[0] for name in names(folder)] == ["outgoing"]


def test_a_photograph_over_the_limit_ends_its_association(folder: Path, archive: Archive) -> None:
    with running(folder, archive, most_bytes=10_000) as node:
        assert send(node.port, raw_dicom(np.zeros((100, 100, 3), np.uint8))) == [None]
        assert send(node.port, raw_dicom(picture(20, 30))) == [0]
        archive.wait_for(1)


def test_a_full_queue_is_said_to_the_sender(folder: Path, archive: Archive) -> None:
    archive.close()
    with running(folder, archive, most=10_000) as node:
        assert send(node.port, photo()) == [0xA700]


def test_only_those_who_are_named_may_send(folder: Path, archive: Archive) -> None:
    with running(folder, archive, callers=["ROUTER"]) as node:
        assert send(node.port, photo(1), title="CAMERA") == [None]
        assert send(node.port, photo(1), title="ROUTER") == [0]


def test_a_unit_that_says_it_is_endless_ends_its_connection(folder: Path, archive: Archive) -> None:
    with running(folder, archive) as node, socket.create_connection(("127.0.0.1", node.port), SECONDS) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 2**31) + bytes(1000))
        connection.settimeout(SECONDS)
        try:
            while connection.recv(1024):
                pass
        except ConnectionError:
            pass


def test_two_nodes_do_not_share_a_queue(folder: Path) -> None:
    with closing(Spool(folder, MORE)), pytest.raises(OptionError, match="is the queue of a process that runs"):
        Spool(folder, MORE)
    assert folder.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "@host:104", "PACS@host:0", "PACS@host:99999", "P" * 17 + "@h:1"]
)
def test_a_receiver_is_named_by_title_host_and_port(text: str) -> None:
    assert Receiver.from_text("PACS@[::1]:104") == Receiver("::1", 104, "PACS")
    with pytest.raises(OptionError, match="Expected TITLE@HOST:PORT"):
        Receiver.from_text(text)


def test_other_formats_are_none_of_dicom() -> None:
    with pytest.raises(OptionError, match="'mask' is no format of DICOM"):
        checked_formats(["mask"])
    assert checked_formats(None) == ["dicom-seg"]
