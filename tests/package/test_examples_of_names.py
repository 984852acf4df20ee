"""The docstring of every public name has an example, and it does what it says."""

import asyncio
import doctest
import pathlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import uvicorn

import vesselrt
from vesselrt.server.http.application import create_app
from vesselrt.server.listeners import listen

NAMES = [name for name in vesselrt.__all__ if name != "__version__"]  # of which the package's own example tells
OF_CLIENTS = ("Answer", "AsyncClient", "Client")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The built-in model behind a real address."""
    segmenter = vesselrt.load(device="cpu:onnxruntime")
    server = uvicorn.Server(uvicorn.Config(create_app(segmenter, warm=True), http="h11", ws="none", log_config=None))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def run_examples(name: str, text: str) -> None:
    examples = doctest.DocTestParser().get_doctest(
        text, {"vesselrt": vesselrt, "asyncio": asyncio, "pathlib": pathlib, "numpy": np}, name, None, None
    )
    assert examples.examples, "no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=said.append)
    assert runner.failures == 0, "".join(said)


@pytest.fixture
def photo(tmp_path: pathlib.Path, fundus_jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """photo.jpg, in the working folder."""
    (tmp_path / "photo.jpg").write_bytes(fundus_jpeg)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("photo")
def test_the_example_of_the_package() -> None:
    run_examples("vesselrt", vesselrt.__doc__ or "")


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_CLIENTS])
def test_the_example_of_a_name(name: str) -> None:
    run_examples(name, getattr(vesselrt, name).__doc__ or "")


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize("name", OF_CLIENTS)
def test_the_example_of_a_client(name: str, address: str) -> None:
    run_examples(name, (getattr(vesselrt, name).__doc__ or "").replace("127.0.0.1:8000", address))
