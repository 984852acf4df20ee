"""A model file is found and read, and one that is none is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import FIELDS, GREEN, refused, write
from onnx import TensorProto

from vesselrt.runtime.errors import ManifestError, ModelError, ModelNotFoundError
from vesselrt.runtime.manifest import Clahe, ClassFacts, Input, Manifest, Preparation, Provenance, Tile
from vesselrt.runtime.modelfile import DEFAULT_MODEL, find_model_file, list_models, read_manifest


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in FIELDS.items() if k != key}


def test_what_is_written_is_read(path: Path) -> None:
    manifest = Manifest(
        name="tiny-2.1_x",
        version="2",
        licence="MIT",
        description="Größe ≥ 1",
        preparation=Preparation(channels="rgb", field_of_view=768, clahe=Clahe(clip_limit=2.5, grid=8)),
        input=Input(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        tile=Tile(size=64, multiple=8, margin=24, fixed=True, blend="gaussian"),
        threshold=0.25,
        classes=tuple(ClassFacts(name=name) for name in ("vessel", "nerve", "lesion")),
        tolerance={"f32": 1e-5, "bf16": 0.1},
        provenance=Provenance(metrics={"A test": {"f1": 0.8}}),
    )
    three = ("n", 3, "h", "w")
    write(path, manifest.to_json(), inputs=[(TensorProto.UINT8, three)], outputs=[(TensorProto.FLOAT, three)])
    assert read_manifest(path) == manifest


def test_the_built_in_models_are_named_as_their_files() -> None:
    found = list_models()
    assert DEFAULT_MODEL in found
    for name, manifest in found.items():
        assert find_model_file(name).name == f"{name}.onnx"
        versioned = f"{manifest.name}@{manifest.version}"
        assert name in (manifest.name, versioned)
        assert find_model_file(versioned) == find_model_file(name)
        assert read_manifest(find_model_file(name)) == manifest


def test_a_model_is_found_by_name_or_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, None)
    assert find_model_file(path) == find_model_file(str(path)) == path
    assert find_model_file(None) == find_model_file(DEFAULT_MODEL)
    monkeypatch.chdir(path.parent)
    path.rename(path.parent / DEFAULT_MODEL)
    assert find_model_file("./" + DEFAULT_MODEL) == Path(DEFAULT_MODEL)
    # A file in the current folder can't stand in for the built-in model.
    assert find_model_file(DEFAULT_MODEL).suffix == ".onnx"


@pytest.mark.parametrize("name", ["nowhere", "nowhere.onnx", "some/where.onnx", ".", "fundus@0.9.0", "fundus@"])
def test_a_model_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model_file(name)
    offered = ", ".join(list_models())
    assert str(caught.value) == f"no model {name}: neither a file nor a built-in model. Built-in: {offered}."


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x89PNG\r\n\x1a\n", bytes(1000)], ids=["empty", "text", "PNG", "zeros"]
)
def test_a_file_that_is_no_model(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    message = refused(ModelError, path)
    assert message.startswith("not a usable ONNX model, or damaged (")
    assert message.endswith("). Export or copy it again.")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_built_in_model(share: float, path: Path) -> None:
    content = find_model_file(None).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert refused(ModelError, path).startswith("not a usable ONNX model, or damaged (")


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_a_model_error_or_unseen(path: Path, place: float, value: int, cut: bool) -> None:
    content = bytearray(write(path, json.dumps(FIELDS)).read_bytes())
    index = int(place * len(content))
    content[index] = value
    path.write_bytes(content[: index + 1] if cut else content)
    try:
        manifest = read_manifest(path)
    except ModelError:
        return
    assert isinstance(manifest, Manifest)


def test_a_model_without_a_manifest(path: Path) -> None:
    write(path, None)
    assert refused(ManifestError, path) == (
        "an ONNX model without a vesselrt manifest. Make model files with: vesselrt export"
    )


def test_a_manifest_that_is_no_text(path: Path) -> None:
    content = write(path, json.dumps(FIELDS)).read_bytes()
    path.write_bytes(content.replace(b"Returns", b"\xff\xfe\x80urns"))
    assert refused(ModelError, path).startswith("not a usable ONNX model, or damaged ('utf-8' codec can't decode")


@pytest.mark.parametrize("schema", [3, 999])
def test_a_manifest_of_a_newer_schema(schema: int, path: Path) -> None:
    # A newer schema has other keys: they are not what is wrong with it.
    write(path, json.dumps({"schema_version": schema, "unheard": "of"}))
    assert refused(ManifestError, path) == (
        f"its manifest has schema {schema}, this vesselrt reads up to 2. Run: pip install -U vesselrt"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (json.dumps(FIELDS)[:-1], "Expecting ',' delimiter"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
    ],
    ids=["empty", "brace", "truncated", "deep"],
)
def test_a_manifest_that_is_not_json(text: str, reason: str, path: Path) -> None:
    write(path, text)
    message = refused(ManifestError, path)
    assert message.startswith(f"the manifest is damaged (not JSON: {reason}")
    assert message.endswith("). Export the model again.")


WRONG: dict[str, tuple[Any, str]] = {
    "a list": ([], "file: Input should be a valid dictionary or instance of Manifest"),
    "schema 0": ({**FIELDS, "schema_version": 0}, "schema_version: Input should be 1 or 2"),
    "schema as text": ({**FIELDS, "schema_version": "2"}, "schema_version: Input should be 1 or 2"),
    "no name": (without("name"), "name: Field required"),
    "a name that is a path": (
        {**FIELDS, "name": "../x"},
        "name: String should match pattern '^[a-z0-9][a-z0-9._-]*$'",
    ),
    "a version that no header can carry": (
        {**FIELDS, "version": "1.0 – Klinik"},
        "version: String should match pattern '^[!-~]([ -~]*[!-~])?$'",
    ),
    "a version that ends in a space": (
        {**FIELDS, "version": "1.0 "},
        "version: String should match pattern '^[!-~]([ -~]*[!-~])?$'",
    ),
    "unknown key": ({**FIELDS, "colour": "red"}, "colour: Extra inputs are not permitted"),
    "unknown key inside": (
        {**FIELDS, "tile": {**FIELDS["tile"], "overlap": 1}},
        "tile.overlap: Extra inputs are not permitted",
    ),
    "wrong type": (
        {**FIELDS, "tile": {**FIELDS["tile"], "size": "large"}},
        "tile.size: Input should be a valid integer, unable to parse string as an integer",
    ),
    "two wrong fields": (
        {**FIELDS, "threshold": 1.5, "version": 1},
        "version: Input should be a valid string; threshold: Input should be less than or equal to 1",
    ),
    "threshold that is no number": (
        {**FIELDS, "threshold": float("nan")},
        "threshold: Input should be less than or equal to 1",
    ),
    "unknown channels": (
        {**FIELDS, "preparation": {"channels": "red"}},
        "preparation.channels: Input should be 'rgb' or 'green'",
    ),
    "a std of 0": ({**FIELDS, "input": {"mean": [0], "std": [0]}}, "input.std.0: Input should be greater than 0"),
    "means of three channels": (
        {**FIELDS, "input": {"mean": [0, 0, 0], "std": [1, 1, 1]}},
        "file: Value error, input.mean and input.std need 1 value(s), one a channel",
    ),
    "a tile off its multiple": (
        {**FIELDS, "tile": {"size": 60, "multiple": 16, "margin": 16}},
        "tile: Value error, size 60 and margin 16 must be multiples of 16",
    ),
    "a tile that is all margin": (
        {**FIELDS, "tile": {"size": 64, "multiple": 16, "margin": 32}},
        "tile: Value error, size 64 must be larger than two margins of 32",
    ),
}


@pytest.mark.parametrize(("fields", "reason"), WRONG.values(), ids=WRONG)
def test_a_manifest_with_wrong_fields(fields: Any, reason: str, path: Path) -> None:
    write(path, json.dumps(fields))
    assert refused(ManifestError, path) == f"the manifest is not valid: {reason}. Correct it."


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ([(TensorProto.FLOAT, GREEN)], [(TensorProto.FLOAT, GREEN)], "[('tensor(float)', 1), ('tensor(float)', 1)]"),
        (
            [(TensorProto.UINT8, ("n", 3, "h", "w"))],
            [(TensorProto.FLOAT, ("n", 3, "h", "w"))],
            "[('tensor(uint8)', 3), ('tensor(float)', 3)]",
        ),
        ([(TensorProto.UINT8, GREEN)], [(TensorProto.DOUBLE, GREEN)], "[('tensor(uint8)', 1), ('tensor(double)', 1)]"),
        (
            [(TensorProto.UINT8, ("n", "h", "w"))],
            [(TensorProto.FLOAT, ("n", "h", "w"))],
            "[('tensor(uint8)', None), ('tensor(float)', None)]",
        ),
        (
            [(TensorProto.UINT8, GREEN)],
            [(TensorProto.FLOAT, GREEN)] * 2,
            "[('tensor(uint8)', 1), ('tensor(float)', 1), ('tensor(float)', 1)]",
        ),
    ],
    ids=["float input", "three channels", "double output", "three axes", "two outputs"],
)
def test_a_graph_that_is_not_what_its_manifest_says(inputs: Any, outputs: Any, found: str, path: Path) -> None:
    write(path, json.dumps(FIELDS), inputs=inputs, outputs=outputs)
    assert refused(ModelError, path) == (
        f"its graph has inputs and outputs {found}, its manifest says "
        "[('tensor(uint8)', 1), ('tensor(float)', 1)]. Export it again."
    )
