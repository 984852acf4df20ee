"""Several processes behind one address: what they share, how they die, how they stop."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from serving import KEY, MANIFEST, PHOTO, children, command_line, free_port, wait_until

import vesselrt
from vesselrt.server.workers import folder_for_figures


def test_workers_share_an_address(fundus_jpeg: bytes, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "vesselrt.cli", "serve", "--workers", "2", "--precision", "f32"]
    environment = {**os.environ, "VESSELRT_PORT": str(port), "VESSELRT_API_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            assert lines == [
                f"vesselrt  http://127.0.0.1:{port}  (stop with Ctrl+C)\n",
                "  model   fundus, one in each worker\n",
                f"  set     port = {port}\n",
                "  set     workers = 2\n",
                "  set     precision = 'f32'\n",
            ]
            with vesselrt.Client(f"http://127.0.0.1:{port}", api_key=KEY, timeout=120) as client:
                (model,) = client.models()  # waits for the first worker
                assert (model["name"], model["status"]) == ("fundus", "ready")
                expected = client.encode(fundus_jpeg)
            with ThreadPoolExecutor(16) as pool:
                asked = [pool.submit(ask_once, port, fundus_jpeg) for _ in range(16)]
                assert [future.result() for future in asked] == [(200, expected)] * 16
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def ask_once(port: int, photo: bytes) -> tuple[int, bytes]:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/predict", content=photo, headers={"X-API-Key": KEY}, timeout=120, trust_env=False
    )
    return answer.status_code, answer.content


WORKERS = """
import os, sys, time
from pathlib import Path
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import process
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import ServerSettings

if __name__ != "__main__" and SLOW:  # a worker, which imports
    with Path(sys.argv[1], "imports").open("a") as file:
        file.write("x")
    time.sleep(60)

def wait_for_leave(pixels):
    if pixels.max() > 250:  # a photograph, and not what warms up
        while not Path(sys.argv[1], "leave").exists():
            time.sleep(0.01)
    return identity(pixels)

class Worker(process.WorkerFactory):
    def __call__(self):
        starts = Path(sys.argv[1], "starts")
        with starts.open("a") as file:
            file.write("x")
        if len(starts.read_text()) in FAILING:
            raise MemoryError("no more")
        segmenter = Segmenter(Manifest.from_json(sys.argv[2], source="t"), FakeBackend(wait_for_leave))
        return create_app(segmenter, self.settings, warm=True)

if __name__ == "__main__":
    process.models_from_settings, process.WorkerFactory = (lambda settings: []), Worker
    process.serve(ServerSettings(port=int(sys.argv[3]), workers=2))
"""


@contextmanager
def workers(folder: Path, failing: str, port: int, slow: bool = False) -> "Iterator[subprocess.Popen[str]]":
    script = folder / "script.py"
    script.write_text(f"FAILING, SLOW = {failing}, {slow}\n{WORKERS}")
    with (folder / "log").open("w") as log:
        command = [sys.executable, str(script), str(folder), MANIFEST.to_json(), str(port)]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=log, text=True, start_new_session=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    return [pid for pid in children(process.pid) if b"spawn_main" in command_line(pid)]


def test_workers_lose_nothing_at_the_end(tmp_path: Path) -> None:
    """What was taken before the word to end is answered after it: no photograph is ready before that word."""
    port = free_port()
    with workers(tmp_path, "()", port) as process, ThreadPoolExecutor(6) as pool:
        wait_until(lambda: is_answered(port))
        asked = [pool.submit(ask_once, port, PHOTO) for _ in range(6)]
        wait_until(lambda: places_of_all(port) == 6)
        process.terminate()
        (tmp_path / "leave").touch()
        statuses, masks = zip(*(future.result() for future in asked), strict=True)
        assert process.wait(60) == 0
    assert (statuses, len(set(masks))) == ((200,) * 6, 1)


def places_of_all(port: int) -> float:
    """The figure of all workers, whichever answers."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=120, trust_env=False).text
    found = re.search(r"^vesselrt_places_taken(?:{.*})? ([\d.]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_worker_that_can_not_start_ends_no_other_one(tmp_path: Path) -> None:
    port = free_port()
    with workers(tmp_path, "(2,)", port) as process:

        def both_answer() -> bool:
            with suppress(httpx.HTTPError, OSError):
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).raise_for_status()
                return (tmp_path / "starts").read_text() == "xxx" and len(workers_of(process)) == 2
            return False

        wait_until(both_answer)
        killed = workers_of(process)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in workers_of(process) and len(workers_of(process)) == 2)
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
        log = (tmp_path / "log").read_text()
        assert log.count("ended with status 1; the reason may be above; another one follows") == 1
        assert f"worker {killed} was ended by SIGKILL, by the system for want of memory, or by hand; another one" in log


@pytest.mark.parametrize("ready", [True, False], ids=["when they serve", "while they start"])
def test_ctrl_c_ends_all_workers_in_order(tmp_path: Path, ready: bool) -> None:
    port = free_port()
    with workers(tmp_path, "()", port, slow=not ready) as process:
        if ready:
            wait_until(lambda: is_answered(port) and (tmp_path / "starts").read_text() == "xx")
        else:
            wait_until(lambda: (tmp_path / "imports").exists() and (tmp_path / "imports").read_text() == "xx")
        found = workers_of(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        assert process.wait(60) == 130
    assert not [pid for pid in found if Path(f"/proc/{pid}/exe").exists()]
    assert "Traceback" not in (tmp_path / "log").read_text()


def is_answered(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    return False


def test_workers_that_can_not_start_at_all_are_the_end(tmp_path: Path) -> None:
    with workers(tmp_path, "range(100)", free_port()) as process:
        assert process.wait(60) == 1
    assert (tmp_path / "log").read_text().endswith("The workers could not start; the reason is above.\n")


@pytest.mark.parametrize("free", [0, 2**20])
def test_a_full_folder_for_temporary_files_is_named(free: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(SystemExit, match=f"^{tmp_path} has {free:,} bytes left, 16,777,216 are needed. The figures of"):
        folder_for_figures(2).__enter__()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(SystemExit, match=r"^There is no folder for temporary files that can be used \(No such file"):
        folder_for_figures(2).__enter__()
