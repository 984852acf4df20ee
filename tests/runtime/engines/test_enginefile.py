"""Engine files: what was written is read, and every change of it is found."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import engine_of, manifest_of, tree

from vesselrt.runtime.engines.enginefile import read_engine
from vesselrt.runtime.errors import (
    EngineError,
    ManifestError,
    ModelNotFoundError,
)
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    engine_of().write(tmp_path / "a.engine")
    return tmp_path / "a.engine"


def forged(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same file with another header, hashed anew: what a newer or a careless writer would make."""
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 8)[0]
    fields = json.loads(content[44 : 44 + length])
    change(fields)
    return sealed(path, json.dumps(fields).encode(), content[44 + length :])


def sealed(path: Path, header: bytes, plan: bytes) -> Path:
    prefix = b"\x89vrt\r\n\x1a\n" + struct.pack("<I", len(header)) + hashlib.sha256(header).digest()
    path.write_bytes(prefix + header + plan)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    assert read_engine(file) == engine_of()
    assert tree(file.parent) == {"a.engine"}


def test_the_bytes_are_those_of_the_format(file: Path) -> None:
    content = file.read_bytes()
    length = struct.unpack_from("<I", content, 8)[0]
    header = content[44 : 44 + length]
    assert content[:8] == bytes.fromhex("89767274 0d0a1a0a")
    assert content[12:44] == hashlib.sha256(header).digest()
    assert content[44 + length :] == b"the plan of an engine"
    fields = json.loads(header)
    assert Manifest.from_fields(fields.pop("manifest"), source="test") == manifest_of(precision="fp16")
    assert fields == {
        "format": 1,
        "flavour": "tensorrt_rtx",
        "version": "1.2.3.4",
        "targets": ["sm75", "sm86"],
        "profile": {"tile": 64, "batch": [1, 2, 4]},
        "model_sha256": "ab" * 32,
        "proof": "07" * 256,
        "plan_size": 21,
        "plan_sha256": hashlib.sha256(b"the plan of an engine").hexdigest(),
    }


def test_a_change_of_any_byte_is_found(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        with pytest.raises(EngineError, match=r"not an engine file, or damaged|header is damaged|plan is damaged"):
            read_engine(file)
        content[place] ^= 1 << place % 8


def test_a_file_that_was_cut_anywhere_is_found(file: Path) -> None:
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(EngineError, match=r"not an engine file|cut off"):
            read_engine(file)


def test_a_file_that_goes_on_after_its_plan(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(EngineError, match=r"a\.engine: the plan is too long: 22 bytes, not 21\. Copy the file again"):
        read_engine(file)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda f: f.update(format=2, news=1, manifest=None),
            EngineError,
            r"an engine file of format 2, this vesselrt reads up to 1\. Run: pip install -U vesselrt$",
        ),
        (lambda f: f.pop("format"), EngineError, r"the header is not valid: format: Field required\. Compile"),
        (lambda f: f.pop("manifest"), ManifestError, r"an engine without a manifest\. Compile the model again"),
        (lambda f: f["manifest"].update(schema_version=9), ManifestError, r"its manifest has schema 9, .* up to 2"),
        (lambda f: f["manifest"].pop("tile"), ManifestError, r"the manifest is not valid: tile: Field required"),
        (lambda f: f.update(news=1), EngineError, r"the header is not valid: news: Extra inputs"),
        (lambda f: f.update(flavour="openvino"), EngineError, r"not valid: flavour: Input should be 'tensorrt_rtx'"),
        (lambda f: f.update(targets=["gpu"]), EngineError, r"not valid: targets\.0: String should match"),
        (lambda f: f.update(targets=[]), EngineError, r"not valid: targets: Tuple should have at least 1"),
        (lambda f: f["profile"].update(batch=[1, 9, 4]), EngineError, r"profile: .*batch \(1, 9, 4\) must rise"),
        (lambda f: f.update(plan_size=20), EngineError, r"the plan is too long: 21 bytes, not 20\."),
        (lambda f: f.update(plan_size=1 << 40), EngineError, r"the plan is cut off: 21 bytes, not 1099511627776\."),
    ],
)
def test_a_header_that_is_not_as_it_should_be(
    file: Path, change: Callable[[dict[str, Any]], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=r"a\.engine: .*" + message):
        read_engine(forged(file, change))


@pytest.mark.parametrize("header", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_header_that_is_no_json(file: Path, header: bytes) -> None:
    with pytest.raises(EngineError, match=r"a\.engine: the header is not JSON"):
        read_engine(sealed(file, header, b"plan"))


@pytest.mark.parametrize("header", [b"[]", b"1", b"null"])
def test_a_header_that_is_no_object(file: Path, header: bytes) -> None:
    with pytest.raises(ManifestError, match=r"a\.engine: an engine without a manifest"):
        read_engine(sealed(file, header, b"plan"))


def test_a_header_longer_than_any_is_not_read(file: Path) -> None:
    with pytest.raises(EngineError, match="header is damaged"):
        read_engine(sealed(file, b" " * (1 << 20) + b"{}", b"plan"))


@pytest.mark.parametrize("name", ["nowhere.engine", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no engine file .* Make one with: vesselrt compile$"):
        read_engine(tmp_path / name)


def test_a_model_file_is_no_engine() -> None:
    with pytest.raises(EngineError, match=r"fundus\.onnx: not an engine file, or damaged\. Make engine files with"):
        read_engine(find_model_file("fundus"))


def test_a_write_that_breaks_off_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        engine_of(b"another plan").write(file)
    assert file.read_bytes() == before
    assert tree(file.parent) == {"a.engine"}
