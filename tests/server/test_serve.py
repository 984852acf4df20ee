"""`serve`: the process, its address, how it stops, and settings that it refuses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from serving import MANIFEST, PHOTO, SERVE, disc, encoded, post, segmenter, wait_until

from vesselrt.server.listeners import listen, listen_unix
from vesselrt.server.process import serve
from vesselrt.server.settings import ServerSettings


def test_importing_the_package_loads_no_web_framework() -> None:
    code = "import sys, vesselrt.server; sys.exit(bool({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("field", "setting"), [("port", "--port"), ("grpc_port", "VESSELRT_GRPC_PORT")])
def test_port_in_use_is_one_message(field: str, setting: str) -> None:
    if field == "grpc_port":
        pytest.importorskip("grpc", reason="needs the extra grpc")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            serve(ServerSettings(**{"port": 0, field: port}), segmenter())
    # Python prints a text and exits with status 1.
    expected = f"Port {port} of 127.0.0.1 is in use. Stop what is using it, or choose another with {setting}."
    assert stopped.value.code == expected


def test_answers_are_not_held_back_for_40_ms() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets only"


def test_address_that_is_none_is_one_message() -> None:
    with pytest.raises(SystemExit, match=r"^Can't listen on 192\.0\.2\.1, port 0: .*\. Check --host and --port\.$"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_serve_prints_where_and_what_and_stops_in_order(tmp_path: Path, sign: signal.Signals, status: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VESSELRT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, MANIFEST.to_json(), '{"port": 0}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**environment, "VESSELRT_API_KY": "mistyped"},
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "  ignored VESSELRT_API_KY: there is no such setting\n"))
        address = re.fullmatch(r"vesselrt  (http://127\.0\.0\.1:\d+)  \(stop with Ctrl\+C\)\n", lines[0])
        assert address
        assert lines[1] == "  model   test 1.2.3\n"
        assert lines[2] == "  device  cpu (nothing, 1 threads), f32, fake 0\n"
        assert re.fullmatch(r"  warm    \d+ ms for one photograph\n", lines[3])
        assert lines[4] == "  set     port = 0\n"
        assert lines[5].startswith("  default host = '127.0.0.1', admin_port = None, ")
        with httpx.Client(base_url=address[1], timeout=10, trust_env=False) as client:
            wait_until(lambda: client.get("/health").status_code == 200)
            assert json.loads(client.get("/health").text)["model"] == "test"
            assert post(client, "multipart").content == segmenter().segment(PHOTO).encode("mask")
        process.send_signal(sign)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == status
    finally:
        process.kill()
        process.wait()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "vesselrt.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    command = [sys.executable, "-c", SERVE, MANIFEST.to_json(), json.dumps({"socket": str(path)})]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)  # or a failure would wait for it for ever
        assert process.stdout is not None
        assert process.stdout.readline() == f"vesselrt  unix:{path}  (stop with Ctrl+C)\n"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            wait_until(lambda: path.exists() and client.get("/health").status_code == 200)
            assert client.post("/predict", content=encoded(".png", disc(100, 100))).status_code == 200
        with pytest.raises(
            SystemExit, match=r"vesselrt.sock is in use. Stop what is using it, or choose another with V"
        ):
            listen_unix(path)
        process.terminate()
        assert process.wait(20) == 0
    assert not path.exists()
