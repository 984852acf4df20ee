"""/openapi.json is of use: a client that a generator makes of it calls every address."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from serving import KEY, running, segmenter

from vesselrt.server.settings import ServerSettings

CALLS = """
import base64, importlib, inspect, io, pkgutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import generated.api
from generated.client import AuthenticatedClient
from generated.types import File

photo = Path(sys.argv[3]).read_bytes()
client = AuthenticatedClient(sys.argv[2], token="0123456789abcdef")

def body(name, module):
    if name.startswith("index"):
        return importlib.import_module("generated.models").IndexQuery()
    if name.startswith("infer"):
        models = importlib.import_module("generated.models")
        start = name.replace("_", "")
        kind = next(k for n, k in vars(models).items() if n.lower() == f"{start}jsoninference")
        data = [base64.b64encode(photo).decode()]
        return kind.from_dict({"inputs": [{"name": "file", "datatype": "BYTES", "shape": [1], "data": data}]})
    (form,) = [kind for n, kind in vars(module).items() if n.endswith("FilesBody")]
    file = File(io.BytesIO(photo), "a.png", "image/png")
    return form(image=[file] if "batch" in name else file)

called = set()
for package in pkgutil.iter_modules(generated.api.__path__):
    for found in pkgutil.iter_modules(importlib.import_module(f"generated.api.{package.name}").__path__):
        module = importlib.import_module(f"generated.api.{package.name}.{found.name}")
        given = inspect.signature(module.sync_detailed).parameters
        arguments = {"model": "test", "version": "1"} if package.name == "v2" else {}
        arguments = {name: value for name, value in arguments.items() if name in given}
        if "body" in given:
            arguments["body"] = body(found.name, module)
        if found.name.startswith("predict_predict"):
            formats = inspect.get_annotations(module._get_kwargs)["format_"].__args__[0]
            arguments["format_"] = formats.JSON  # one that it can parse
            whole = client.get_httpx_client().request(**module._get_kwargs(**{**arguments, "format_": formats.MASK}))
            assert whole.content.startswith(b"\\x89PNG"), whole.text
            arguments["body"] = body(found.name, module)
        answer = module.sync_detailed(client=client, **arguments)
        assert answer.status_code == 200, (found.name, answer)
        called.add(found.name)
print(len(called))
"""


@pytest.mark.slow
def test_a_generated_client_calls_every_address(tmp_path: Path) -> None:
    # In an environment of its own: it asks for another typer than ours.
    uv = Path(sys.executable).with_name("uv")
    tool = [str(uv), "run", "--no-project", "--no-config", "--with", "openapi-python-client==0.29.1"]
    disc = cv2.circle(np.zeros((100, 100, 3), np.uint8), (50, 50), 45, (40, 90, 200), -1)
    (tmp_path / "photo.png").write_bytes(cv2.imencode(".png", disc)[1].tobytes())
    with running(segmenter(version="1"), ServerSettings(api_key=KEY)) as client:
        document = client.get("/openapi.json", headers={"X-API-Key": KEY}).json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        make = [*tool, "openapi-python-client", "generate", "--path", str(tmp_path / "openapi.json"), "--meta", "none"]
        subprocess.run([*make, "--output-path", str(tmp_path / "generated")], check=True, capture_output=True)
        command = [
            *tool,
            "--quiet",
            "python",
            "-c",
            CALLS,
            str(tmp_path),
            str(client.base_url),
            str(tmp_path / "photo.png"),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr == ""
    operations = sum(len(methods) for methods in document["paths"].values())
    assert int(done.stdout) == operations


def test_the_document_says_how_to_show_the_key() -> None:
    with running(segmenter()) as client:
        document = client.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["key"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            open_to_all = path == "/" or "/health" in path
            assert operation.get("security", []) == ([] if open_to_all else [{"key": []}, {"bearer": []}]), path
