"""Models from load to close: late, changed, failed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import FILE, MANIFEST, PHOTO, error, figure, running, segmenter, wait_until

from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import ModelNotFoundError, OptionError
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import ModelSource, ServedModel, models_from_settings


def test_a_lazy_model_is_loaded_when_it_is_asked_for() -> None:
    loaded: list[str] = []

    def source(name: str) -> ModelSource:
        return lambda: loaded.append(name) or segmenter(name=name)  # type: ignore[func-returns-value]

    with running([ServedModel(name, source(name)) for name in ("one", "two")], ServerSettings(lazy=True)) as client:
        assert loaded == ["one"]
        assert client.post("/predict?model=two", content=PHOTO).headers["x-vesselrt-model"] == "two 1.2.3"
        assert client.post("/predict?model=two", content=PHOTO).status_code == 200
        assert loaded == ["one", "two"]


def test_a_changed_file_takes_over_without_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("1")
    backends: list[FakeBackend] = []

    def load() -> Segmenter:
        version = file.read_text()
        if version == "broken":
            raise ModelNotFoundError("broken")
        backends.append(FakeBackend())
        return Segmenter(MANIFEST.model_copy(update={"version": version}), backends[-1])

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    with (
        running([ServedModel("m", load, [file])], ServerSettings(reload=0.05)) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        stop = threading.Event()

        def ask() -> set[tuple[int, str]]:
            seen = set()
            while not stop.is_set():
                answer = httpx.post(f"{client.base_url}/predict", content=PHOTO, trust_env=False)
                seen.add((answer.status_code, answer.headers.get("x-vesselrt-model", "")))
            return seen

        asking = [pool.submit(ask) for _ in range(2)]
        replace("2")
        wait_until(lambda: client.get("/models").json()["models"][0]["version"] == "2")
        replace("broken")
        wait_until(lambda: figure(client, "vesselrt_reloads_total", outcome="failed") == 1)
        assert client.get("/models").json()["models"][0]["version"] == "2"
        replace("3")
        wait_until(lambda: client.get("/models").json()["models"][0]["version"] == "3")
        assert client.post("/predict", content=PHOTO).headers["x-vesselrt-model"] == "test 3"
        stop.set()
        seen = asking[0].result() | asking[1].result()
        assert {status for status, _ in seen} == {200}
        wait_until(lambda: [backend.closed for backend in backends] == [True, True, False])
    assert all(backend.closed for backend in backends)


def test_models_are_named_apart() -> None:
    named = models_from_settings(ServerSettings(models=["a=fundus", "fundus"]))
    assert [model.name for model in named] == ["a", "fundus"]
    assert [model.name for model in models_from_settings(ServerSettings(models=["fundus@1.2.0"]))] == ["fundus"]
    with pytest.raises(OptionError, match=r"^two models are named fundus"):
        models_from_settings(ServerSettings(models=["fundus", "fundus"]))
    with pytest.raises(OptionError, match=r"^a model's name is 'b=fundus'"):
        models_from_settings(ServerSettings(models=["a/b=fundus"]))
    with pytest.raises(ModelNotFoundError, match=r"^no model nowhere"):
        models_from_settings(ServerSettings(models=["nowhere"]))


def test_a_lazy_model_is_loaded_through_v2() -> None:
    loaded: list[str] = []
    going_on = threading.Event()

    def source(name: str) -> ModelSource:
        def load() -> Segmenter:
            loaded.append(name)
            assert name == "first" or going_on.wait(20)
            return segmenter(name=name)

        return load

    names = ("first", "asked", "looked", "told", "wrong")
    with running([ServedModel(name, source(name)) for name in names], ServerSettings(lazy=True)) as client:
        for address in ("looked/ready", "looked/ready", "told", "told/versions/1.2.3"):
            answer = client.get(f"/v2/models/{address}")
            assert answer.json() == {"error": "The model is being loaded and warmed up. Try again in a moment."}
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        going_on.set()
        wait_until(lambda: client.get("/v2/models/looked/ready").status_code == 200)
        wait_until(lambda: client.get("/v2/models/told/versions/1.2.3").status_code == 200)
        assert client.post("/v2/models/asked/versions/1.2.3/infer", json={"inputs": [FILE]}).status_code == 200
        for _ in range(2):  # the first is answered when the model is loaded, the second before its body is read
            wrong = client.post("/v2/models/wrong/versions/9/infer", json={"inputs": [FILE]})
            assert (wrong.status_code, wrong.json()["error"]) == (404, "no version '9' of wrong. Expected 1.2.3.")
        assert loaded == ["first", "looked", "told", "asked", "wrong"], "each once"


def test_a_lazy_model_that_failed_is_loaded_when_its_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("missing")
    loaded: list[str] = []

    def load() -> Segmenter:
        loaded.append(file.read_text())
        if loaded[-1].startswith("broken"):
            raise ModelNotFoundError("broken")
        return segmenter(version=loaded[-1])

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    models = [ServedModel("one", segmenter), ServedModel("two", load, [file])]
    with running(models, ServerSettings(lazy=True, reload=0.02)) as client:
        replace("broken")
        for _ in range(2):
            answer = client.post("/predict?model=two", content=PHOTO)
            message = "The model could not be loaded or run; the server's log says why."
            assert error(answer) == (503, "NotReadyError", message)
            time.sleep(0.1)
        assert loaded == ["broken"], "not tried again before the file changes"
        replace("broken too")
        wait_until(lambda: figure(client, "vesselrt_reloads_total", outcome="failed") == 1)
        assert client.get("/v2/models/two/ready").status_code == 503
        replace("3")
        wait_until(lambda: client.get("/v2/models/two/ready").status_code == 200)
        assert client.post("/predict?model=two", content=PHOTO).headers["x-vesselrt-model"] == "test 3"
        assert loaded == ["broken", "broken too", "3"]


def test_an_int8_file_that_comes_or_goes_beside_the_named_one_is_noticed(tmp_path: Path) -> None:
    file, beside = tmp_path / "own.onnx", tmp_path / "own.int8.onnx"
    file.write_text("f32")
    served = ServedModel("m", lambda: segmenter(version=str(beside.exists())), [file])
    served.open()
    assert served.refresh() is None
    for there in (True, False):
        beside.write_text("int8") if there else beside.unlink()
        assert served.refresh() is True
        assert served.segmenter is not None
        assert served.segmenter.manifest.version == str(there)
    served.close()


def test_a_model_that_failed_at_start_serves_when_its_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("broken")

    def load() -> Segmenter:
        if (version := file.read_text()) == "broken":
            threading.Timer(0.2, replace).start()
            raise ModelNotFoundError(version)
        return segmenter(version=version)

    def replace() -> None:
        (tmp_path / "new").write_text("2")
        (tmp_path / "new").replace(file)

    with running([ServedModel("one", load, [file])], ServerSettings(reload=0.02)) as client:
        assert client.post("/predict", content=PHOTO).headers["x-vesselrt-model"] == "test 2"
