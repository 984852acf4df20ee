"""Models by their SHA-256: files that must have it, and addresses to fetch them from."""

import hashlib
import http.server
import io
import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import pytest

from vesselrt.runtime import fetching
from vesselrt.runtime.errors import DeviceError, ModelError, ModelNotFoundError, OptionError
from vesselrt.runtime.modelfile import BUILT_IN, find_model_file
from vesselrt.runtime.segmenter import load

CONTENT = b"any file: nothing reads it as a model before its hash is compared" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64
NOT_USED, HTTPS = "It is not used.", "models are fetched by https alone. Name an https address."


class Host(http.server.ThreadingHTTPServer):
    """A web server of this machine that counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[str] = []
        self.going_on = threading.Event()

    def address(self, path: str, digest: str | None = DIGEST) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}" + (f"#sha256={digest}" if digest else "")


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        status = {"/gone.onnx": 404, "/secret.onnx": 403}.get(path, 200)
        self.send_response(status)
        if path in ("/m.onnx", "/m.engine", "/cut.onnx"):
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if status == 200 and path != "/silent.onnx":
            self.wfile.write(CONTENT[:-10] if path == "/cut.onnx" else CONTENT)
        if path == "/silent.onnx":
            self.wfile.flush()
            self.server.going_on.wait(20)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.going_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what was fetched is kept."""
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "cache"))
    for name in ("VESSELRT_OFFLINE", "VESSELRT_MODEL_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "models"


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def test_an_address_is_fetched_once_and_kept_under_its_hash(host: Host, cache: Path) -> None:
    path = cache / f"{DIGEST}.onnx"
    for _ in range(2):
        assert find_model_file(host.address("/m.onnx")) == path
        assert path.read_bytes() == CONTENT
    assert find_model_file(host.address("/elsewhere.onnx?key=1", None), DIGEST.upper()) == path
    assert host.asked == ["/m.onnx"]
    assert find_model_file(host.address("/m.engine")).suffix == ".engine"
    assert {file.name for file in cache.iterdir()} == {f"{DIGEST}.onnx", f"{DIGEST}.engine"}


def test_what_was_damaged_in_the_cache_is_fetched_again(
    host: Host, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = find_model_file(host.address("/m.onnx"))
    path.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        assert find_model_file(host.address("/m.onnx")).read_bytes() == CONTENT
    assert f"{path}: its SHA-256 is " in caplog.text
    assert len(host.asked) == 2


@pytest.mark.parametrize(
    ("path", "digest", "kind", "message"),
    [
        ("/m.onnx", None, OptionError, "what is fetched needs its SHA-256. Add it to the address: #sha256=..."),
        (
            "/m.onnx",
            OTHER,
            ModelError,
            f"what came has the SHA-256 {DIGEST}, and {OTHER} was expected. It is not used.",
        ),
        ("/gone.onnx", DIGEST, ModelNotFoundError, "the server answered 404 Not Found. Check the address."),
        ("/secret.onnx?key=k", DIGEST, ModelError, "the server answered 403 Forbidden. Check the address."),
        ("/cut.onnx", DIGEST, ModelError, "the connection ended after 64,990 of 65,000 bytes. Try again."),
    ],
)
def test_each_failure_has_its_sentence_and_leaves_nothing(
    host: Host, cache: Path, path: str, digest: str | None, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        find_model_file(host.address(path, digest))
    assert type(caught.value) is kind
    assert str(caught.value) == f"{host.address(path.partition('?')[0], None)}: {message}"
    assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "http://example.org/m.onnx",
            f"http://example.org/m.onnx: {HTTPS}",
        ),
        ("ftp://localhost/m.onnx", f"ftp://localhost/m.onnx: {HTTPS}"),
        ("file:///m.onnx", f"file:///m.onnx: {HTTPS}"),
        ("https://a:b@host/m?c=d", "https://host/m: an address with a password is not taken. Name a signed one."),
    ],
)
@pytest.mark.usefixtures("no_sockets")
def test_nothing_is_asked_for_that_is_not_https(name: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load(name, sha256=DIGEST)
    assert str(caught.value) == message


@pytest.mark.parametrize("target", ["http://example.org/m.onnx", "ftp://127.0.0.1/m.onnx", "file:///etc/hostname"])
def test_redirects_lead_to_https_alone(host: Host, target: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_model_file(host.address(f"/to/{target}"))
    assert "127.0.0.1" in str(caught.value)
    assert host.asked == [f"/to/{target}"]
    assert find_model_file(host.address(f"/to/{host.address('/m.onnx', None)}")).read_bytes() == CONTENT


def test_https_leads_to_no_address_of_this_machine() -> None:
    request = Request("https://example.org/m.onnx")
    with pytest.raises(OptionError, match=r"^http://localhost:8000/x is an address of this machine\.$"):
        fetching._Redirects().redirect_request(request, io.BytesIO(), 302, "", None, "http://localhost:8000/x")  # type: ignore[arg-type]


@pytest.mark.parametrize(("path", "said"), [("/m.onnx", "has 65,000 bytes, the"), ("/n.onnx", "is larger than 999 b")])
def test_size_is_limited(host: Host, path: str, said: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(fetching, "MOST_BYTES", 999)
    with pytest.raises(ModelError, match=said):
        find_model_file(host.address(path))
    assert list(cache.glob("*")) == []


def test_time_is_limited(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SILENCE", 0.1)
    with pytest.raises(ModelError, match=r"/silent.onnx: can't be fetched \(timed out\)\. Check the address"):
        find_model_file(host.address("/silent.onnx"))
    monkeypatch.setattr(fetching, "SILENCE", 20)
    monkeypatch.setattr(fetching, "LONGEST", -1)
    with pytest.raises(ModelError, match=r"was not here within -1 s\."):
        find_model_file(host.address("/m.onnx"))


def test_nobody_answers(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match=rf"^http://localhost:{port}/m: can't be fetched \(.*refused\)\. Check"):
        find_model_file(f"http://localhost:{port}/m?secret=1", DIGEST)
    assert not list(cache.glob("*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_can_not_be_written(host: Host, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ModelError, match="can't be kept in "):
        find_model_file(host.address("/m.onnx"))
    tmp_path.chmod(0o700)


def test_a_folder_in_the_way_of_the_cache(host: Host, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("no folder")
    with pytest.raises(ModelError, match=rf"/m.onnx: can't be kept in {cache} \("):
        find_model_file(host.address("/m.onnx"))


# Offline


@pytest.mark.usefixtures("no_sockets")
def test_offline_opens_no_socket(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESSELRT_OFFLINE", "1")
    name = f"https://example.org/m.onnx?key=1#sha256={DIGEST}"
    with pytest.raises(ModelNotFoundError) as caught:
        load(name)
    assert str(caught.value) == (
        "https://example.org/m.onnx is not here, and VESSELRT_OFFLINE forbids connections. Put the file as "
        f"{DIGEST}.onnx into {cache}, or into a folder that VESSELRT_MODEL_FOLDER names."
    )
    cache.mkdir(parents=True)
    (cache / f"{DIGEST}.onnx").write_bytes(CONTENT)
    assert find_model_file(name) == cache / f"{DIGEST}.onnx"


@pytest.mark.usefixtures("no_sockets")
def test_a_folder_of_the_user_is_looked_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{DIGEST}.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("VESSELRT_MODEL_FOLDER", str(tmp_path))
    name = f"https://example.org/m.onnx#sha256={DIGEST}"
    assert find_model_file(name) == tmp_path / f"{DIGEST}.onnx"
    monkeypatch.setenv("VESSELRT_OFFLINE", "1")
    (tmp_path / f"{DIGEST}.onnx").write_bytes(b"another")
    with pytest.raises(ModelNotFoundError), caplog.at_level(logging.WARNING):
        find_model_file(name)
    assert f"{tmp_path / DIGEST}.onnx: its SHA-256 is " in caplog.text


# Files


@pytest.fixture
def fundus(tmp_path: Path) -> tuple[Path, str]:
    """A copy of the built-in model with its INT8 file beside it, and its hash."""
    for name in ("fundus.onnx", "fundus.int8.onnx"):
        shutil.copy(BUILT_IN / name, tmp_path / name)
    return tmp_path / "fundus.onnx", hashlib.sha256((tmp_path / "fundus.onnx").read_bytes()).hexdigest()


def test_a_file_of_a_hash_is_this_file_and_not_one_beside_it(fundus: tuple[Path, str]) -> None:
    path, digest = fundus
    with load(path, sha256=digest, device="cpu:onnxruntime", threads=1) as segmenter:
        assert segmenter.info.precision == "f32"
    with pytest.raises(DeviceError, match=r"the SHA-256 names this file, which is f32\. Name the INT8 file by its own"):
        load(f"{path}#sha256={digest}", precision="int8")
    assert find_model_file("fundus", digest).parent == BUILT_IN


@pytest.mark.parametrize("given", [(f"#sha256={OTHER}", None), ("", OTHER)])
def test_another_file_is_refused_before_it_is_read(tmp_path: Path, given: tuple[str, str | None]) -> None:
    path = tmp_path / "no-model.onnx"
    path.write_bytes(CONTENT)
    with pytest.raises(ModelError) as caught:
        load(f"{path}{given[0]}", sha256=given[1])
    assert str(caught.value) == f"{path}: its SHA-256 is {DIGEST}, and {OTHER} was expected. It is not used."
    with pytest.raises(ModelError, match="not a usable ONNX model"):  # the hash is right, and then it is read
        load(path, sha256=DIGEST)


@pytest.mark.parametrize(
    ("name", "digest", "message"),
    [
        ("fundus", "abc", "sha256 of fundus is 'abc'. Expected 64 hexadecimal digits."),
        ("fundus#sha256=", None, "sha256 of fundus is ''. Expected 64 hexadecimal digits."),
        (f"fundus#sha256={OTHER}", DIGEST, "fundus is named with two different sha256. Say one."),
    ],
)
def test_what_is_no_hash_is_refused(name: str, digest: str | None, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load(name, sha256=digest)
    assert str(caught.value) == message
