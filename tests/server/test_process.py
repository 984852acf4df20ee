"""A Segmenter in the life of a process: closed, forked, pickled, printed, and told how many cores there are."""

import copy
import inspect
import io
import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import vesselrt
from vesselrt.runtime import errors
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import MissingExtraError, SegmenterClosedError, VesselrtError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.quota import cpu_quota
from vesselrt.runtime.segmenter import Segmenter

MANIFEST = Manifest(
    name="green",
    version="2",
    licence="CC0-1.0",
    description="Gives back the green of a photograph.",
    preparation=Preparation(channels="green"),
    input=Input(mean=(0.0,), std=(1.0,)),
    tile=Tile(size=64, multiple=1, margin=0),
)
PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, VesselrtError)]


# Closing


def test_a_closed_segmenter_says_so_and_stays_closed() -> None:
    backend = FakeBackend()
    segmenter = Segmenter(MANIFEST, backend)
    segmenter.segment(PHOTO)
    segmenter.close()
    segmenter.close()
    assert backend.closed
    for use in (lambda: segmenter.segment(PHOTO), segmenter.warm_up, segmenter.shared):
        with pytest.raises(SegmenterClosedError, match=r"^this Segmenter was closed\. Load the model again with"):
            use()
    assert segmenter.manifest.name == "green"
    assert segmenter.info.backend == "fake"


@pytest.mark.parametrize("device", ["cpu:openvino", "cpu:onnxruntime"])
def test_a_closed_model_says_so_with_every_library(device: Device) -> None:
    with vesselrt.load(device=device, precision="f32") as segmenter:
        pass
    with pytest.raises(SegmenterClosedError):
        segmenter.segment(PHOTO)


class Slow(FakeBackend):
    """Waits inside a call until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.go_on = threading.Event(), threading.Event()

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        self.inside.set()
        assert self.go_on.wait(30)
        assert not self.closed
        return super().infer(batches)


def test_closing_cuts_no_call_off() -> None:
    backend, found = Slow(), []
    segmenter = Segmenter(MANIFEST, backend)
    thread = threading.Thread(target=lambda: found.append(segmenter.segment(PHOTO).probability), daemon=True)
    thread.start()
    assert backend.inside.wait(30)
    segmenter.close()
    assert not backend.closed
    with pytest.raises(SegmenterClosedError):
        segmenter.segment(PHOTO)
    backend.go_on.set()
    thread.join(30)
    np.testing.assert_array_equal(found[0], PHOTO[:, :, 1])
    assert backend.closed


# Forking

FORK = """
import os, sys, vesselrt
import numpy as np
device, photo = sys.argv[1], np.zeros((96, 96, 3), np.uint8)
photo[8:88, 8:88] = (160, 80, 40)
load = lambda: vesselrt.load(device=device, precision="f32", threads=1)
first, closed = load(), load()
closed.segment(photo)
closed.close()
if os.fork() == 0:
    for name, use in (("used", lambda: first.segment(photo)), ("loaded", lambda: load().segment(photo))):
        try:
            print(name, use().probability.shape, flush=True)
        except vesselrt.ForkError as error:
            print(name, error, flush=True)
    first.close()
    sys.exit(0)
print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
print("parent", first.segment(photo).probability.shape, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    ("device", "loaded"),
    [("cpu:openvino", "OpenVINO had started when this process was forked"), ("cpu:onnxruntime", "(96, 96)")],
)
def test_a_forked_process_gets_an_answer(device: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, device], capture_output=True, text=True, timeout=120, check=True
    )
    used, reloaded, ended, parent = done.stdout.splitlines()
    assert used.startswith("used this model was loaded before the process was forked. ")
    assert 'multiprocessing.get_context("spawn")' in used
    assert reloaded.startswith(f"loaded {loaded}")
    assert ("spawn" in reloaded) == (device == "cpu:openvino")
    assert (ended, parent) == ("ended 0", "parent (96, 96)")


FORK_FIRST = """
import os, sys, vesselrt
import numpy as np
photo = np.zeros((96, 96, 3), np.uint8)
photo[8:88, 8:88] = (160, 80, 40)
if os.fork() == 0:
    print(vesselrt.load(device="cpu:openvino", threads=1).segment(photo).probability.shape, flush=True)
    sys.exit(0)
print("ended", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_may_fork_before_it_loads() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK_FIRST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["(96, 96)", "ended 0"]


# Pickling


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_comes_whole_out_of_another_process(kind: type[VesselrtError]) -> None:
    found = pickle.loads(pickle.dumps(kind("what came, what was expected")))
    assert type(found) is kind
    assert str(found) == "what came, what was expected"


def test_a_missing_extra_comes_whole_out_of_another_process() -> None:
    error = MissingExtraError.of("vesselrt train", "train")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error).endswith("Run: pip install 'vesselrt[train]'")


def test_what_is_missing_is_a_file_not_found() -> None:
    for find in (lambda: vesselrt.load("gone.onnx"), lambda: Segmenter(MANIFEST, FakeBackend()).segment("gone.png")):
        with pytest.raises(FileNotFoundError, match="gone") as caught:
            find()
        assert isinstance(caught.value, VesselrtError)
        assert caught.value.errno == 2


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickling_a_segmenter_says_what_to_do(act: object) -> None:
    with pytest.raises(TypeError, match=r"can't be pickled or copied: .* Call vesselrt\.load\(\) in each process"):
        act(Segmenter(MANIFEST, FakeBackend()))  # type: ignore[operator]


# Printing and comparing


def test_a_segmentation_is_itself_alone_and_short_to_print() -> None:
    segmenter = Segmenter(MANIFEST, FakeBackend())
    first, second = segmenter.segment(PHOTO), segmenter.segment(PHOTO)
    assert first == first  # noqa: PLR0124 - the comparison is what is tested
    assert first != second
    assert len({first, second}) == 2
    assert repr(first).startswith("<Segmentation of 40 × 30 px in ")
    assert len(repr(first)) < 100


def test_a_segmenter_prints_what_it_is() -> None:
    segmenter = Segmenter(MANIFEST, FakeBackend())
    assert repr(segmenter) == "<Segmenter green 2 on cpu (nothing, 1 threads), f32, fake 0>"
    segmenter.close()
    assert repr(segmenter).endswith(", closed>")


@pytest.mark.parametrize(("shape", "expected"), [((30, 40), (40, 30)), ((1500, 3000), (1024, 512))])
def test_a_notebook_shows_the_overlay(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), (90, 255, 20), np.uint8)
    picture = Segmenter(MANIFEST, FakeBackend(lambda pixels: pixels / np.float32(255))).segment(photo)._repr_png_()
    with Pillow.open(io.BytesIO(picture)) as file:
        assert file.size == expected
        red, green, blue = file.getpixel((expected[0] // 2, expected[1] // 2))  # type: ignore[misc]
    assert (red < 60, green, blue > 40) == (True, 255, True)  # the vessels' green over everything


# The plain installation


def test_every_name_is_there_without_extras() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "import vesselrt; assert hasattr(vesselrt, 'Client')\n"
        "from vesselrt import *\n"
        "try: Client()\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == (
        "vesselrt.Client needs packages that are not installed. Run: pip install 'vesselrt[client]'\n"
    )


# Cores


def groups(proc: Path, cgroup: str, *mounts: str) -> Path:
    """What Linux tells of a process: its control groups, and where they are mounted."""
    (proc / "cgroup").write_text(cgroup, "utf-8")
    (proc / "mountinfo").write_text("".join(f"{line}\n" for line in mounts), "utf-8")
    return proc


def quota(folder: Path, text: str) -> None:
    """Sets the quota of a group: "MICROSECONDS PERIOD" as of version 2, or "v1 MICROSECONDS PERIOD"."""
    folder.mkdir(parents=True, exist_ok=True)
    if not text.startswith("v1"):
        (folder / "cpu.max").write_text(f"{text}\n")
        return
    _, microseconds, period = text.split()
    (folder / "cpu.cfs_quota_us").write_text(f"{microseconds}\n")
    (folder / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"": "max 100000"}, math.inf),
        ({"": "200000 100000"}, 2),
        ({"a/b": "150000 100000"}, 1.5),
        ({"a": "300000 100000", "a/b": "max 100000"}, 3),
        ({"a": "300000 100000", "a/b": "800000 100000"}, 3),
        ({"a": "300000 100000", "a/b": "50000 100000"}, 0.5),
        ({"a/other": "50000 100000"}, math.inf),
        ({"a/b": "nonsense"}, math.inf),
    ],
)
def test_the_least_quota_of_nested_groups_counts(tmp_path: Path, quotas: dict[str, str], expected: float) -> None:
    root = tmp_path / "a folder"  # written with an escape, as the kernel does
    (root / "a" / "b").mkdir(parents=True)
    for group, text in quotas.items():
        quota(root / group, text)
    mount = f"30 24 0:27 / {str(root).replace(' ', chr(92) + '040')} rw,nosuid shared:4 - cgroup2 cgroup2 rw"
    assert cpu_quota(groups(tmp_path, "0::/a/b\n", mount)) == expected


@pytest.mark.parametrize("mounted", ["/", "/docker/c1"])
def test_quotas_of_version_1_count(tmp_path: Path, mounted: str) -> None:
    root = tmp_path / "cpu"
    quota(root, "v1 -1 100000")
    quota(root / "docker" / "c1" if mounted == "/" else root, "v1 200000 100000")
    (root / "docker" / "c1" / "task").mkdir(parents=True, exist_ok=True)
    elsewhere = tmp_path / "memory"
    quota(elsewhere, "v1 1 100000")  # no group of the processor
    proc = groups(
        tmp_path,
        "12:memory:/docker/c1\n5:cpu,cpuacct:/docker/c1/task\n1:name=systemd:/docker/c1\n0::/docker/c1\n",
        f"33 32 0:29 {mounted} {root} rw,nosuid - cgroup cgroup rw,cpu,cpuacct",
        f"34 32 0:30 {mounted} {elsewhere} rw,nosuid - cgroup cgroup rw,memory",
    )
    assert cpu_quota(proc) == 2


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize(("quota_of_cores", "expected"), [(math.inf, 8), (2.5, 2), (0.1, 1), (64, 8)])
def test_cores_are_what_affinity_and_quota_leave(
    monkeypatch: pytest.MonkeyPatch, quota_of_cores: float, expected: int
) -> None:
    from vesselrt.runtime import hardware

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(hardware, "cpu_quota", lambda: quota_of_cores)
    assert hardware.usable_cores() == expected
