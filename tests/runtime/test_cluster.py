"""A cluster of Ray on this machine: the same rows as without one, and none lost with a worker."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import save
from serving import free_port, wait_until

from vesselrt.runtime import cluster
from vesselrt.runtime.cluster import Cluster, ModelChoice
from vesselrt.runtime.errors import DeviceError, ImageDecodeError, MissingExtraError, OptionError
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.segmentation import Segmentation


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="needs the extra ray")
    with Cluster("local", ModelChoice(device="cpu:onnxruntime", precision="f32", threads=1)) as started:
        if len(started._workers) < 2:
            pytest.skip("a machine of one core")
        yield started


@pytest.fixture
def photos(tmp_path: Path, fundus_jpeg: bytes) -> list[Path]:
    paths = [tmp_path / f"{number}.jpg" for number in range(6)]
    for path in paths:
        path.write_bytes(fundus_jpeg)
    paths[2].write_bytes(b"no photograph")
    return paths


def mean_of(photo: Path, result: Segmentation) -> tuple[str, float]:
    return photo.name, float(result.probability.mean())


@pytest.mark.slow
def test_results_and_errors_come_in_order_as_without_a_cluster(two_workers: Cluster, photos: list[Path]) -> None:
    found = list(two_workers.segment_many(photos, lambda photo, result: (photo.name, float(result.probability.mean()))))
    with ModelChoice(device="cpu:onnxruntime", precision="f32").load() as alone:
        expected = list(alone.segment_many(photos, mean_of))
    assert [str(one) for one in found] == [str(one) for one in expected]
    assert isinstance(found[2], ImageDecodeError)
    assert (two_workers.info.device, two_workers.info.threads) == ("cpu", 1)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(two_workers: Cluster, photos: list[Path], tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    def kill_once(photo: Path, result: Segmentation) -> str:
        if photo.name == "1.jpg" and not killed.exists():
            killed.touch()
            os._exit(1)
        return photo.name

    found = list(two_workers.segment_many(photos, kill_once))
    assert killed.exists()
    assert [one for one in found if isinstance(one, str)] == [f"{n}.jpg" for n in (0, 1, 3, 4, 5)]


@pytest.mark.slow
def test_a_photograph_that_ends_its_workers_is_one_error(two_workers: Cluster, photos: list[Path]) -> None:
    def kill(photo: Path, result: Segmentation) -> str:
        if photo.name == "0.jpg":
            os._exit(1)
        return photo.name

    first, *others = two_workers.segment_many([photos[0]], kill), *two_workers.segment_many(photos[3:], kill)
    assert [str(error) for error in first] == ["the workers that segmented it ended, 4 times. See the logs of Ray."]
    assert others == ["3.jpg", "4.jpg", "5.jpg"]


def test_an_address_where_no_cluster_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("nobody there\nand much more")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=refuse))
    with pytest.raises(OptionError, match=r"no cluster of Ray at auto \(nobody there\)\. Expected local, auto or HOST"):
        Cluster("auto", ModelChoice())


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_an_address_where_nobody_listens_is_told_before_ray_tries(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    asked = list[object]()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=lambda *given, **_: asked.append(given)))
    address = f"{prefix}127.0.0.1:{free_port()}"
    with pytest.raises(OptionError, match=rf"^no cluster of Ray at {address} \(.*refused\)\. Expected local"):
        Cluster(address, ModelChoice())
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(OptionError, match=r"^no cluster of Ray at auto \(.*refused\)"):
        Cluster("auto", ModelChoice())
    with pytest.raises(OptionError, match="there is no port 70000"):
        Cluster(f"{prefix}127.0.0.1:70000", ModelChoice())
    assert not asked


def test_what_a_busy_cluster_is_waited_for_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = "waiting for 1 of 2 workers, each of 4 CPU: the cluster at auto has 8 CPU (0 free)"

    def answer_late() -> list[Any]:
        wait_until(lambda: said in caplog.messages)
        return [info_of("cpu", "f32")]

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "_PATIENCE", 0.01)
    monkeypatch.setattr(cluster, "_import_ray", lambda: _Ray([{"CPU": 8.0}], answer_late))
    with caplog.at_level("INFO", "vesselrt"):
        Cluster("auto", ModelChoice())
    assert caplog.messages.count(said) == 1


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vesselrt\[ray\]'"):
        Cluster("local", ModelChoice())


class _Ray:
    """A cluster of machines that answer as they are told to."""

    class Error(Exception):
        """Of Ray."""

    exceptions = SimpleNamespace(RayError=Error)

    def __init__(
        self, machines: list[dict[str, float]], answers: "list[Any] | Exception | Callable[[], list[Any]]"
    ) -> None:
        self._machines, self._answers = machines, answers
        self.options: dict[str, Any] = {}
        self.started = list[ModelChoice]()
        self.ended = False

    def init(self, *_: object, **__: object) -> None:
        pass

    def shutdown(self) -> None:
        self.ended = True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": machine} for machine in self._machines]

    def remote(self, _: object) -> Any:
        def start(choice: ModelChoice) -> Any:
            self.started.append(choice)
            return SimpleNamespace(**dict.fromkeys(("describe", "__ray_ready__"), SimpleNamespace(remote=lambda: None)))

        def options(**given: Any) -> Any:
            self.options = given
            return SimpleNamespace(remote=start)

        return SimpleNamespace(options=options)

    def wait(self, begun: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return begun[:1], begun[1:]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0}

    def available_resources(self) -> dict[str, float]:
        return {}

    def get(self, _: object) -> list[Any]:
        if callable(self._answers):
            return self._answers()
        if isinstance(self._answers, Exception):
            raise self._answers
        return self._answers


def info_of(device: str, precision: str) -> tuple[None, Any]:
    return None, SimpleNamespace(device=device, precision=precision, __str__=lambda: device)


@pytest.mark.parametrize(
    ("machines", "choice", "workers", "needs"),
    [
        ([{"CPU": 8.0}, {"CPU": 6.0}], ModelChoice(), 3, {"num_cpus": 4}),
        ([{"CPU": 2.0}], ModelChoice(), 1, {"num_cpus": 2}),
        ([{"CPU": 8.0}, {}], ModelChoice(threads=2), 4, {"num_cpus": 2}),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], ModelChoice(), 2, {"num_gpus": 1, "num_cpus": 1}),
        ([{"CPU": 8.0, "GPU": 2.0}], ModelChoice(device="cpu"), 2, {"num_cpus": 4}),
    ],
)
def test_there_is_a_worker_for_each_gpu_or_group_of_cores(
    monkeypatch: pytest.MonkeyPatch, machines: Any, choice: ModelChoice, workers: int, needs: dict[str, int]
) -> None:
    ray = _Ray(machines, [info_of("cpu", "f32")])
    monkeypatch.setattr(cluster, "_import_ray", lambda: ray)
    Cluster("auto", choice)
    assert len(ray.started) == workers
    assert {name: value for name, value in ray.options.items() if name in ("num_cpus", "num_gpus")} == needs
    if "num_gpus" not in needs:
        assert {one.threads for one in ray.started} == {needs["num_cpus"]}


@pytest.mark.parametrize(
    ("machines", "choice", "answers", "error", "message"),
    [
        ([{"CPU": 4.0}], ModelChoice(device="cuda"), [], DeviceError, "the cluster has no GPU. Use --device cpu"),
        ([{"CPU": 4.0}], ModelChoice(threads=8), [], OptionError, "threads is 8, and no machine of the cluster has"),
        ([{"CPU": 4.0}], ModelChoice(), [DeviceError("none here")], DeviceError, "none here"),
        (
            [{"CPU": 4.0}],
            ModelChoice(),
            [info_of("cpu", "f32"), info_of("cpu", "int8")],
            OptionError,
            "the machines would compute in different ways",
        ),
    ],
)
def test_what_can_not_work_is_said_before_a_photograph_is_read(
    monkeypatch: pytest.MonkeyPatch,
    machines: Any,
    choice: ModelChoice,
    answers: Any,
    error: type[Exception],
    message: str,
) -> None:
    ray = _Ray(machines, answers)
    monkeypatch.setattr(cluster, "_import_ray", lambda: ray)
    with pytest.raises(error, match=message):
        Cluster("auto", choice)
    assert ray.ended


def test_a_model_beside_the_caller_is_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.onnx").touch()
    named = ("my.onnx", "fundus", "https://example.org/m.onnx#sha256=0")
    assert ModelChoice(named).absolute().models == (str(tmp_path / "my.onnx"), *named[1:])


def test_a_photograph_of_a_store_that_fails_is_an_error_of_its_own() -> None:
    class Address:
        def open(self, _: str) -> Any:
            raise RuntimeError("403 Forbidden\n<xml>")

        def __str__(self) -> str:
            return "s3://bucket/1.jpg"

    with pytest.raises(ImageDecodeError, match=r"^s3://bucket/1\.jpg: can't be read \(403 Forbidden\)\. Check"):
        cluster._fetch_photo(Address(), Limits())


def test_an_error_names_the_photograph_as_the_caller_does() -> None:
    worker = cluster._Worker(ModelChoice(device="cpu:onnxruntime", threads=1))
    photo = Path("none.jpg")
    error = worker.segment(photo, photo.absolute(), mean_of, None, quality=True)
    assert str(error) == "none.jpg: can't be read (No such file or directory). Check the path."


def test_addresses_are_for_clusters(end_of: Callable[..., tuple[object, str]]) -> None:
    from vesselrt.cli import main

    code, said = end_of(main, "predict", "s3://bucket/1.jpg")
    assert code == 1
    assert "s3://bucket/1.jpg is an address, and photographs of addresses are read with --ray alone." in said


def test_the_photographs_of_a_store_are_listed_as_those_of_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("upath", reason="needs the extra ray")
    from vesselrt.cli.photos import expand_photos

    save(tmp_path / "eyes" / "a" / "1.png", np.full((20, 20), 40))
    (tmp_path / "eyes" / "notes.txt").touch()
    found = expand_photos([f"file://{tmp_path}/eyes"], recursive=True, stores=True)
    assert [(path.name, below) for path, below in found.items()] == [("1.png", Path("a"))]
    with pytest.raises(OptionError, match=r"^nowhere://x: .* Check the address"):
        expand_photos(["nowhere://x"], recursive=False, stores=True)


def test_machines_without_cores_are_said_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", _Ray([{}], []))
    with pytest.raises(OptionError, match=r"^no machine of the cluster has any cores\."):
        Cluster("auto", ModelChoice())


def test_a_worker_that_can_not_begin_is_an_error_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = _Ray([{"CPU": 2.0}], _Ray.Error("No module named 'vesselrt'\nand much more"))
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(DeviceError, match=r"could not begin \(No module named 'vesselrt'\)\. Is vesselrt on every"):
        Cluster("auto", ModelChoice())
    assert ray.ended
