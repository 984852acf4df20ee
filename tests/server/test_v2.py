"""The Open Inference Protocol, version 2: Triton's own client, and what is not the protocol."""

import base64
import gzip
import json
import subprocess
import sys
import tracemalloc
from typing import Any

import httpx
import pytest
from serving import FILE, PHOTO, figure, picture, png, running, segmenter

from vesselrt.server.settings import ServerSettings
from vesselrt.server.v2 import reply

# Triton's client brings gevent, which is not asked into this process.
TRITON = """
import sys
import cv2, numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

client = InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("test")
assert client.get_server_metadata()["extensions"][0] == "binary_tensor_data"
(entry,) = client.get_model_repository_index()
assert entry == {"name": "test", "version": "1.2.3", "state": "READY", "reason": ""}
config = client.get_model_config("test")
assert (config["max_batch_size"], config["input"][0]["data_type"]) == (0, "TYPE_UINT8")
before = client.get_inference_statistics("test")["model_stats"][0]["inference_count"]
facts = client.get_model_metadata("test")
assert (facts["name"], facts["versions"], facts["platform"]) == ("test", ["1.2.3"], "vesselrt_fake")
assert [t["name"] for t in facts["inputs"] + facts["outputs"]] == ["image", "file", "probability", "mask"]

data = sys.stdin.buffer.read()
pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)

def image(binary):
    sent = InferInput("image", pixels.shape, "UINT8")
    sent.set_data_from_numpy(pixels, binary_data=binary)
    return sent

def file():
    sent = InferInput("file", [1], "BYTES")
    sent.set_data_from_numpy(np.array([data], np.object_))
    return sent

found = []
for sent in (image(True), image(False), file()):
    for binary in (True, False):
        wanted = [InferRequestedOutput(n, binary_data=binary) for n in ("probability", "mask")]
        answer = client.infer("test", [sent], outputs=wanted, request_id="7", parameters={"threshold": 0.6})
        assert answer.get_response()["id"] == "7"
        found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
answer = client.infer("test", [file()], model_version="1.2.3", timeout=5_000_000)  # both outputs, JSON or binary
found.append((answer.as_numpy("probability"), answer.as_numpy("probability") >= 153))
assert {(p.dtype.name, m.dtype.name) for p, m in found} == {("uint8", "bool")}
assert all((p == found[0][0]).all() and (m == found[0][1]).all() for p, m in found)
for algorithm in ("gzip", "deflate"):
    packed = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    for sent in (image(False), file()):
        answer = client.infer("test", [sent], outputs=wanted, parameters={"threshold": 0.6}, **packed)
        found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
waiting = client.async_infer("test", [file()], outputs=wanted, parameters={"threshold": 0.6})
answer = waiting.get_result()
found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
(stats,) = client.get_inference_statistics()["model_stats"]
assert stats["inference_count"] == before + len(found), (before, stats)
assert stats["inference_stats"]["compute_infer"]["ns"] > 0 and stats["last_inference"] > 1e12
for refused in (
    lambda: client.load_model("test"),
    lambda: client.unload_model("test"),
    lambda: client.get_system_shared_memory_status(),
    lambda: client.get_cuda_shared_memory_status(),
    lambda: client.register_system_shared_memory("a", "/a", 1),
    lambda: client.unregister_system_shared_memory("a"),
    lambda: client.get_trace_settings("test"),
    lambda: client.update_trace_settings("test", {"trace_level": ["OFF"]}),
    lambda: client.get_log_settings(),
    lambda: client.update_log_settings({"log_info": False}),
):
    try:
        refused()
    except InferenceServerException as error:
        assert "/openapi.json says what there is" in error.message(), error
    else:
        raise AssertionError("answered")
for model, version in (("other", ""), ("test", "9")):
    try:
        client.infer(model, [file()], model_version=version)
    except InferenceServerException as error:
        print(error.message(), file=sys.stderr)
assert not client.is_model_ready("other")
sys.stdout.buffer.write(np.concatenate([found[0][0].ravel(), found[0][1].ravel().astype(np.uint8)]).tobytes())
"""


def test_tritons_client_works_unchanged(client: httpx.Client) -> None:
    address = f"{client.base_url.host}:{client.base_url.port}"
    command = [sys.executable, "-W", "ignore", "-c", TRITON, address]
    done = subprocess.run(command, input=PHOTO, capture_output=True, check=False)
    message = "no model 'other'. Expected one of: test.\nno version '9' of test. Expected 1.2.3.\n"
    assert done.stderr.decode() == message
    result = segmenter().segment(PHOTO)
    assert done.stdout == result.probability.tobytes() + result.mask(0.6).tobytes()


DOT = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 3]}


ONE_OF = "Expected one: 'image' (UINT8, H × W × 3) or 'file' (BYTES, 1)."


NO_LIST = "`data` of an input is a list of whole numbers from 0 to 255, or of one text in base64."


NUMBERS = "the data of 'image' are not 1 × 1 × 3 whole numbers from 0 to 255."


V2: dict[str, tuple[Any, int, str]] = {
    "no JSON": ("{", 400, "the body: Invalid JSON: EOF while parsing an object at line 1 column 1. "),
    "deep": ("[" * 60_000, 400, "the body: Invalid JSON: recursion limit exceeded at line 1 column 2"),
    "deep in data": ({"inputs": [{**DOT, "data": [[[[[[[[[1, 2, 3]]]]]]]]]}]}, 400, NUMBERS),
    "long beside the data": ("[" * 70_000, 413, "the JSON has more than 65,536 bytes beside the values in `data`, the"),
    "objects": ({"inputs": [{**DOT, "data": [{"000": 1.5}] * 3}]}, 400, NO_LIST),
    "an unknown parameter": (
        {"inputs": [FILE], "parameters": {"priority": 1}}, 400, "there is no parameters.priority here, or it is not ",
    ),
    "classification": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"classification": 2}}]}, 400,
        "there is no outputs.0.parameters.classification here, or it is not supported.",
    ),
    "shared memory": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"shared_memory_region": "x"}}]}, 400,
        "there is no outputs.0.parameters.shared_memory_region here, or it is not supported.",
    ),
    "shared memory of an input": (
        {"inputs": [{**DOT, "parameters": {"shared_memory_byte_size": 3}}]}, 400,
        "there is no inputs.0.parameters.shared_memory_byte_size here, or it is not supported.",
    ),
    "a parameter of another kind": (
        {"inputs": [FILE], "parameters": {"binary_data_output": "yes"}}, 400, "parameters.binary_data_output is 'yes'",
    ),
    "no inputs": ({"inputs": []}, 400, "inputs: List should have at least 1 item after validation, not 0. "),
    "other input": ({"inputs": [{**FILE, "name": "x"}]}, 400, f"the inputs are 'x'. {ONE_OF}"),
    "two inputs": ({"inputs": [FILE, DOT]}, 400, f"the inputs are 'file', 'image'. {ONE_OF}"),
    "other output": (
        {"inputs": [FILE], "outputs": [{"name": "x"}]}, 400,
        "there is no output 'x'. Expected probability, mask or spread.",
    ),
    "other type": ({"inputs": [{**DOT, "datatype": "FP32"}]}, 400, "'image' is FP32 [1, 1, 3]. Expected UINT8 ["),
    "other shape": ({"inputs": [{**DOT, "shape": [0, 1, 3]}]}, 400, "'image' is UINT8 [0, 1, 3]. Expected UINT8 ["),
    "huge shape": (
        {"inputs": [{**DOT, "shape": [2**62, 2**62, 3], "data": [1]}]}, 413,
        f"'image' is [{2**62}, {2**62}, 3], the limit is 150,000,000 pixels. Send a smaller image.",
    ),
    "endless shape": ({"inputs": [{**DOT, "shape": [10**4000, 1, 3], "data": [1]}]}, 413, "'image' is [1000"),
    "no data": ({"inputs": [DOT]}, 400, NUMBERS),
    "too few": ({"inputs": [{**DOT, "data": [1, 2]}]}, 400, NUMBERS),
    "too large": ({"inputs": [{**DOT, "data": [1, 2, 256]}]}, 400, NUMBERS),
    "huge number": ({"inputs": [{**DOT, "data": [1, 2, 10**30]}]}, 400, NUMBERS),
    "ragged": ({"inputs": [{**DOT, "data": [[1], [2, 3]]}]}, 400, NUMBERS),
    "texts": ({"inputs": [{**DOT, "data": ["1", "2", "3"]}]}, 400, NO_LIST),
    "yes and no": ({"inputs": [{**DOT, "data": [1, 2, True]}]}, 400, NO_LIST),
    "fractions": ({"inputs": [{**DOT, "data": [1, 2, 3.0]}]}, 400, NO_LIST),
    "numbers and lists": ({"inputs": [{**DOT, "data": [1, [2, 3]]}]}, 400, NUMBERS),
    "a list beside numbers": ({"inputs": [{**DOT, "data": [[1, 2], 3]}]}, 400, NUMBERS),
    "split numbers": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "3 4"), 400, NUMBERS),
    "leading zeros": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "034"), 400, NUMBERS),
    "a number too few": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 3]}]}).replace("2", ""), 400, NUMBERS),
    "brackets in numbers": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "3[4]"), 400, NUMBERS),
    "two lists": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 3]}]}).replace("2, 3", "2], [3"), 400, NUMBERS),
    "empty lists": ({"inputs": [{**DOT, "data": [[], []]}]}, 400, NUMBERS),
    "an output twice": (
        {"inputs": [FILE], "outputs": [{"name": "mask"}] * 2}, 400, "the output 'mask' is asked for 2 times. Expected",
    ),
    "a long answer": (
        f'{{"inputs":[{{"name":"image","datatype":"UINT8","shape":[1500,1500,3],"data":[{"0," * 6_749_999}0]}}]}}', 400,
        "the answer has 4,500,000 values as JSON, the limit is 4,000,000. Ask for the outputs as binary data: ",
    ),
    "promised bytes": ({"inputs": [{**DOT, "parameters": {"binary_data_size": 3}}]}, 400, "0 bytes follow the JSON"),
    "no base64": ({"inputs": [{**FILE, "data": ["ü"]}]}, 400, "'file' holds no photograph. Expected one text"),
    "no photograph": ({"inputs": [{**FILE, "data": ["aGVsbG8gd29ybGQ="]}]}, 415, "not an image: it begins with "),
    "threshold": ({"inputs": [FILE], "parameters": {"threshold": 2}}, 400, "parameters.threshold is 2. Expected a n"),
    "threshold of an output": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"threshold": -1}}]}, 400,
        "outputs.0.parameters.threshold is -1. Expected a number from 0 to 1. ",
    ),
    "many values": ({"inputs": [{**DOT, "data": [0] * 1_000_002}]}, 400, NUMBERS),
    "many lists": ({"inputs": [{**DOT, "data": [[[[[[1]]]]]] * 200_000}]}, 400, NUMBERS),
    "threshold a word": ({"inputs": [FILE], "parameters": {"threshold": "x"}}, 400, "parameters.threshold is 'x'. Exp"),
}  # fmt: skip


def test_the_answer_tells_how_good_the_photograph_is(client: httpx.Client) -> None:
    dark = png(picture() // 8)
    sent = {**FILE, "data": [base64.b64encode(dark).decode()]}
    told, expected = client.post("/v2/models/test/infer", json={"inputs": [sent]}).json(), segmenter().segment(dark)
    assert expected.quality is not None
    assert expected.quality.verdict != "good"
    assert told["parameters"] == {"quality": str(expected.quality), "warnings": " ".join(expected.warnings)}
    unjudged = {"inputs": [sent], "parameters": {"quality": False}}
    told = client.post("/v2/models/test/infer", json=unjudged).json()
    assert "quality" not in told.get("parameters", {})


def test_numbers_of_a_large_photograph_are_all_there(client: httpx.Client) -> None:
    photo = png(picture(300, 401))  # more than the pieces in which they are written
    sent = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(photo).decode()]}
    answer = client.post("/v2/models/test/infer", json={"inputs": [sent], "id": "7"}).json()
    result = segmenter().segment(photo)
    assert answer == {
        "model_name": "test",
        "model_version": "1.2.3",
        "id": "7",
        "parameters": {"quality": "good"},
        "outputs": [
            {"name": n, "datatype": kind, "shape": [300, 401], "data": values.ravel().tolist()}
            for n, kind, values in (("probability", "UINT8", result.probability), ("mask", "BOOL", result.mask()))
        ],
    }


@pytest.mark.parametrize("case", V2)
def test_what_is_not_the_protocol_gets_its_error(client: httpx.Client, case: str) -> None:
    body, status, message = V2[case]
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post("/v2/models/test/infer", content=content)
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(message)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("length", "size", "tail"),
    [
        ("999", None, b""),
        ("-1", None, b""),
        ("x", None, b""),
        (None, 8, b""),
        ("json", 8, b"1234"),
        ("json", 8, b"\xff\0\0\0abcd"),
    ],
)
def test_lengths_that_are_wrong(client: httpx.Client, length: str | None, size: int | None, tail: bytes) -> None:
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = (
        {} if length is None else {"Inference-Header-Content-Length": str(len(text)) if length == "json" else length}
    )
    answer = client.post("/v2/models/test/infer", content=text + tail, headers=headers)
    assert (answer.status_code, answer.json().keys()) == (400, {"error"})


@pytest.mark.parametrize("shape", [(83, 97, 3), (-1,), (1, 1, -1), (83, -1)])
def test_numbers_may_be_nested_or_not(client: httpx.Client, shape: tuple[int, ...]) -> None:
    sent = {**DOT, "shape": [83, 97, 3], "data": picture().reshape(shape).tolist()}
    answer = client.post("/v2/models/test/infer", json={"inputs": [sent], "outputs": [{"name": "probability"}]})
    assert answer.json()["outputs"][0]["data"] == segmenter().segment(picture()).probability.ravel().tolist()


def test_texts_in_the_place_of_numbers_take_no_memory(client: httpx.Client) -> None:
    content = json.dumps({"inputs": [{**DOT, "data": ["a" * 100_000, *[""] * 499]}]})
    tracemalloc.start()
    try:
        assert client.post("/v2/models/test/infer", content=content).status_code == 400
        assert tracemalloc.get_traced_memory()[1] < 10e6, "all of them as long as the longest would be 200 MB"
    finally:
        tracemalloc.stop()


def test_a_file_with_a_long_answer_is_to_be_asked_for_as_binary_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "MOST_WRITTEN", 83 * 97)
    with running(segmenter()) as client:
        text = client.post("/v2/models/test/infer", json={"inputs": [FILE]})
        assert text.status_code == 400
        assert text.json()["error"].startswith("the answer has 16,102 values as JSON, the limit is 8,051. Ask for the")
        for more in ({"parameters": {"binary_data_output": True}}, {"outputs": [{"name": "mask"}]}):
            assert client.post("/v2/models/test/infer", json={"inputs": [FILE], **more}).status_code == 200


def test_pixels_are_limited_as_those_of_files_are() -> None:
    sent = {**DOT, "shape": [83, 97, 3], "data": picture().ravel().tolist()}
    for most, status in ((83 * 97, 200), (83 * 97 - 1, 413)):
        with running(segmenter(), ServerSettings(max_pixels=most)) as client:
            answers = [client.post("/v2/models/test/infer", json={"inputs": [tensor]}) for tensor in (sent, FILE)]
            assert [answer.status_code for answer in answers] == [status, status]
            message = "'image' is [83, 97, 3], the limit is 8,050 pixels. Send a smaller image."
            assert answers[0].json().get("error") == (None if status == 200 else message)


def test_parameters_may_be_null(client: httpx.Client) -> None:
    wanted = [{"name": "mask", "parameters": None}]
    content = {"inputs": [{**FILE, "parameters": None}], "outputs": wanted, "parameters": None}
    assert client.post("/v2/models/test/infer", json=content).status_code == 200


def test_an_endless_timeout_is_the_deadline(client: httpx.Client) -> None:
    content = {"inputs": [FILE], "parameters": {"timeout": 10**400}}
    assert client.post("/v2/models/test/infer", json=content).status_code == 200


def test_json_of_v2_is_compressed_for_who_asks(client: httpx.Client) -> None:
    plain = client.post("/v2/models/test/infer", json={"inputs": [FILE]}, headers={"Accept-Encoding": "identity"})
    packed = client.post("/v2/models/test/infer", json={"inputs": [FILE]}, headers={"Accept-Encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.json()) == ("gzip", plain.json())


def test_packed_bodies_of_v2_are_bounded() -> None:
    with running(segmenter(), ServerSettings(max_bytes=1_000_000)) as client:
        for packed, status in ((gzip.compress(bytes(2_000_000)), 413), (gzip.compress(b"{")[:-9], 400), (b"{", 400)):
            answer = client.post("/v2/models/test/infer", content=packed, headers={"Content-Encoding": "gzip"})
            assert answer.status_code == status, answer.text
        answer = client.post("/v2/models/test/infer", content=b"{", headers={"Content-Encoding": "br"})
        assert (answer.status_code, answer.json()["error"]) == (
            415, "the body is 'br'. Send it as it is, or in gzip or deflate.",
        )  # fmt: skip
        assert figure(client, "vesselrt_held_bytes") == 0
