"""The reader of an ONNX file's head, against what the library `onnx` writes, and against broken bytes."""

import contextlib
import re
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from vesselrt.runtime.modelfile import find_model_file, int8_path
from vesselrt.runtime.modelproto import GraphValue, find_metadata, read_model_head


def make_model(**metadata: str) -> onnx.ModelProto:
    """Two inputs, of which one is a weight, as old files list them; two outputs."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["image", "weight"], ["sum"]), helper.make_node("Neg", ["sum"], ["less"])],
        "graph",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, None, 2**40]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("less", TensorProto.BFLOAT16, []),
        ],
        [helper.make_tensor("weight", TensorProto.FLOAT, [1], [2.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("other", 99)])
    helper.set_model_props(model, metadata)
    return model


CONTENT = make_model(a="1", größe="≥ 1 µm", empty="").SerializeToString()


def test_the_head_is_what_was_written() -> None:
    head = read_model_head(CONTENT)
    assert head.metadata == {"a": "1", "größe": "≥ 1 µm", "empty": ""}
    assert head.opset == 20
    assert head.values == (
        GraphValue("image", "tensor(float)", ("batch", 3, None, 2**40)),
        GraphValue("sum", "tensor(float)", ()),
        GraphValue("less", "tensor(16)", ()),
    )


@pytest.mark.parametrize("path", [find_model_file(None), int8_path(find_model_file(None))], ids=["f32", "int8"])
def test_the_built_in_files_are_read_as_onnx_reads_them(path: Path) -> None:
    model = onnx.load(path)
    head = read_model_head(path.read_bytes())
    assert head.metadata == {entry.key: entry.value for entry in model.metadata_props}
    for found, value in zip(head.values, (*model.graph.input, *model.graph.output), strict=True):
        tensor = value.type.tensor_type
        assert found.name == value.name
        assert found.axes == tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)


def test_an_entry_is_found_by_its_key_and_can_be_cut_out() -> None:
    entry = find_metadata(CONTENT, "größe")
    rest = onnx.ModelProto.FromString(CONTENT[: entry.start] + CONTENT[entry.end :])
    assert rest == make_model(a="1", empty="")
    with pytest.raises(ValueError, match="no b in its metadata"):
        find_metadata(CONTENT, "b")


def test_a_key_that_comes_twice_has_its_last_value_as_in_every_reader() -> None:
    entry = onnx.ModelProto(metadata_props=[onnx.StringStringEntryProto(key="a", value="2")]).SerializeToString()
    assert read_model_head(CONTENT + entry).metadata["a"] == "2"
    assert find_metadata(CONTENT + entry, "a").start == len(CONTENT)


@pytest.mark.parametrize("end", range(len(CONTENT)))
def test_a_file_that_ends_early_is_refused_or_lacks_whole_entries(end: int) -> None:
    try:
        head = read_model_head(CONTENT[:end])
    except ValueError:
        return
    whole = read_model_head(CONTENT)
    assert head.values == whole.values
    assert head.metadata.items() < whole.metadata.items()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no graph with an output"),
        (bytes(9), "field 0 at byte 0"),
        (b"\x0b", "a field of unknown kind 3 at byte 0"),  # a group, which ONNX never had
        (b"\x0a\x05abcd", "the field at byte 0 ends after its message"),
        (b"\x0d\x00\x00\x00", "the field at byte 0 ends after its message"),  # four bytes, three there
        (b"\x09" + bytes(7), "the field at byte 0 ends after its message"),  # eight bytes, seven there
        (b"\x08\x80", "a number at byte 1 that does not end"),
        (b"\x08" + b"\xff" * 11, "a number at byte 1 that does not end"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "the field at byte 0 ends after its message"),  # 2**64 - 1 bytes long
        (b"\x38\x01", "a number at byte 0, where a message was expected"),  # the graph
        (b"\x3a\x02\x5a\x05", "the field at byte 2 ends after its message"),  # an input longer than its graph
        (b"\x72\x02\x08\x01", "a number at byte 2, where text was expected"),  # a key
        (b"\x72\x03\x0a\x01\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_broken_bytes_are_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason) + "$"):
        read_model_head(content)


@given(st.integers(0, len(CONTENT) - 1), st.binary(max_size=12), st.integers(0, 12))
def test_whatever_is_overwritten_is_read_or_refused(place: int, inserted: bytes, removed: int) -> None:
    with contextlib.suppress(ValueError):
        read_model_head(CONTENT[:place] + inserted + CONTENT[place + removed :])


def test_a_length_that_claims_to_be_huge_takes_no_memory_nor_time() -> None:
    with pytest.raises(ValueError, match="ends after its message"):
        read_model_head(b"\x0a" + b"\xff\xff\xff\xff\x7f" + CONTENT)
