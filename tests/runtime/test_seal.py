"""A model file tells the hash of its content: any flipped bit is found."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from model_files import FIELDS, refused, write

from vesselrt.export.modelfile import record_metrics, write_model_file
from vesselrt.runtime.errors import ModelError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, list_models, read_manifest, sha256


def test_the_hash_is_that_of_the_file(path: Path) -> None:
    path.write_bytes(b"vessel")
    assert sha256(path) == hashlib.sha256(b"vessel").hexdigest()
    assert re.fullmatch(r"[0-9a-f]{64}", sha256(find_model_file(None)))


# The hash of the content


@pytest.fixture
def sealed(path: Path) -> Path:
    """A small model file as vesselrt writes it."""
    write_model_file(onnx.load(write(path, None)), Manifest.from_fields(FIELDS, source="here"), path)
    return path


def test_the_hash_is_of_the_file_with_zeros_in_its_place(sealed: Path) -> None:
    digest, content = read_manifest(sealed).content_sha256, sealed.read_bytes()
    assert digest is not None
    assert content.count(digest.encode()) == 1
    assert hashlib.sha256(content.replace(digest.encode(), b"0" * 64)).hexdigest() == digest


def test_a_flipped_bit_in_any_byte_is_refused(sealed: Path) -> None:
    content = sealed.read_bytes()
    for place, byte in enumerate(content):
        sealed.write_bytes(content[:place] + bytes([byte ^ 1 << place % 8]) + content[place + 1 :])
        with pytest.raises(ModelError):
            read_manifest(sealed)


def test_flipped_bits_of_the_built_in_model_are_refused(path: Path) -> None:
    content = bytearray(find_model_file(None).read_bytes())
    for place in np.random.default_rng(5).integers(0, len(content), 200):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        content[place] ^= 1 << place % 8
        assert refused(ModelError, path) == (
            "damaged, or changed since it was written: its SHA-256 is another. Export or copy it again."
        )


def test_a_file_that_was_cut_or_extended_is_refused(sealed: Path) -> None:
    content = sealed.read_bytes()
    note = onnx.ModelProto(metadata_props=[onnx.StringStringEntryProto(key="a", value="b")]).SerializeToString()
    graph = onnx.ModelProto(graph=onnx.GraphProto(name="other")).SerializeToString()
    for changed in (
        *(content[:end] for end in range(0, len(content), 9)),
        *(content + end for end in (b"\0", note, graph, content)),
    ):
        sealed.write_bytes(changed)
        with pytest.raises(ModelError):
            read_manifest(sealed)


def test_whatever_writes_a_model_file_seals_it(sealed: Path, tmp_path: Path) -> None:
    manifest = Manifest.from_fields({**FIELDS, "content_sha256": "ab" * 32}, source="here")
    written = write_model_file(onnx.load(sealed), manifest, tmp_path / "again.onnx")
    assert written.content_sha256 not in (None, manifest.content_sha256)
    assert written == read_manifest(tmp_path / "again.onnx")
    record_metrics(sealed, {"eyes test": {"f1": 0.5}})
    recorded = read_manifest(sealed)
    assert recorded.provenance.metrics == {"eyes test": {"f1": 0.5}}
    assert recorded.content_sha256 not in (None, written.content_sha256)
    assert all(known.content_sha256 for known in list_models().values())


def test_a_file_from_before_the_hash_is_read_with_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(path, json.dumps(FIELDS))
    assert read_manifest(path).content_sha256 is None
    (message,) = caplog.messages
    assert message == (
        f"{path}: its manifest has no SHA-256 of the file, so damage would not be found. Export it again, or write "
        "one into it with: vesselrt evaluate --record"
    )
    caplog.clear()
    read_manifest(find_model_file(None))
    assert caplog.messages == []


def test_a_manifest_that_another_program_wrote_anew_is_refused(sealed: Path) -> None:
    write(sealed, json.dumps(json.loads(read_manifest(sealed).to_json()), indent=1))
    assert refused(ModelError, sealed) == "its manifest was changed by another program. Export or copy it again."


def test_weights_in_other_files_are_refused(path: Path) -> None:
    model = onnx.load(write(path, json.dumps(FIELDS)))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((64, 64), np.float32), "weights"))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert refused(ModelError, path) == "keeps weights in other files. Make one file with: vesselrt export"
    read_again = onnx.load(path)  # which fetches them
    write_model_file(read_again, Manifest.from_fields(FIELDS, source="here"), path)
    (path.parent / "weights.bin").unlink()
    assert read_manifest(path).content_sha256
