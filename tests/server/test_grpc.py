"""The Open Inference Protocol over gRPC, spoken by an unchanged client of Triton."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from serving import PHOTO, Gate, decoding_here, disc, free_port, picture, segmenter, wait_until

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import ServerSettings

gateway = pytest.importorskip("vesselrt.server.grpc.gateway", reason="needs the extra grpc", exc_type=ImportError)
triton = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
grpc = pytest.importorskip("grpc", reason="needs the extra grpc")


@contextmanager
def client_of(source: Segmenter, **settings: Any) -> Iterator[Any]:
    """A client of a server that runs in a thread."""
    given = ServerSettings(grpc_port=free_port(), maps_bytes=0, drain=1, **settings)
    started, stopped = threading.Event(), threading.Event()

    async def run() -> None:
        app = gateway.add_grpc(create_app(source, given, warm=True), given)
        async with app.router.lifespan_context(app):
            started.set()
            while not stopped.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    with decoding_here():
        thread.start()
        try:
            assert started.wait(20)
            with triton.InferenceServerClient(f"127.0.0.1:{given.grpc_port}") as client:
                wait_until(client.is_server_ready)
                yield client
        finally:
            stopped.set()
            thread.join()


def image_of(pixels: Any) -> Any:
    sent = triton.InferInput("image", pixels.shape, "UINT8")
    sent.set_data_from_numpy(pixels)
    return sent


def file_of(photo: bytes) -> Any:
    sent = triton.InferInput("file", [1], "BYTES")
    sent.set_data_from_numpy(np.array([photo], object))
    return sent


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of(segmenter()) as found:
        yield found


def test_the_server_and_its_model_are_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_model_ready("test")
    assert client.is_model_ready("test", "1.2.3")
    assert client.get_server_metadata().name == "vesselrt"
    facts = client.get_model_metadata("test")
    assert (facts.name, list(facts.versions)) == ("test", ["1.2.3"])
    assert {one.name: (one.datatype, list(one.shape)) for one in facts.inputs}["image"] == ("UINT8", [-1, -1, 3])
    assert [one.name for one in facts.outputs] == ["probability", "mask"]


def test_a_photograph_gives_the_same_as_the_library(client: Any) -> None:
    pixels, expected = picture(), segmenter().segment(picture())
    answer = client.infer("test", [image_of(pixels)], request_id="17")
    assert answer.get_response().id == "17"
    assert answer.get_response().parameters["quality"].string_param == str(expected.quality)
    unjudged = client.infer("test", [image_of(pixels)], parameters={"quality": False})
    assert "quality" not in unjudged.get_response().parameters
    np.testing.assert_array_equal(answer.as_numpy("probability"), expected.probability)
    np.testing.assert_array_equal(answer.as_numpy("mask"), expected.mask())
    mask = triton.InferRequestedOutput("mask")
    answer = client.infer("test", [file_of(PHOTO)], outputs=[mask], parameters={"threshold": 0.25})
    np.testing.assert_array_equal(answer.as_numpy("mask"), segmenter().segment(PHOTO).mask(0.25))
    assert answer.as_numpy("probability") is None


def test_values_in_the_tensor_are_read_too(client: Any) -> None:
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    pixels = disc(20, 30)
    asked = service_pb2.ModelInferRequest(model_name="test")
    tensor = asked.inputs.add(name="image", datatype="UINT8", shape=pixels.shape)
    tensor.contents.uint_contents.extend(pixels.ravel().tolist())
    stub = client._client_stub
    assert isinstance(stub, service_pb2_grpc.GRPCInferenceServiceStub)
    answer = stub.ModelInfer(asked)
    assert answer.raw_output_contents[0] == segmenter().segment(pixels).probability.tobytes()
    tensor.contents.uint_contents[0] = 256
    with pytest.raises(grpc.RpcError, match="range"):
        stub.ModelInfer(asked)


def refused(client: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The status and message of a call that fails."""
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer(*arguments, **options)
    return str(caught.value.status()).removeprefix("StatusCode."), str(caught.value.message())


def test_what_can_not_be_answered_has_the_status_and_words_of_http(client: Any) -> None:
    assert refused(client, "nobody", [image_of(picture())])[0] == "NOT_FOUND"
    assert refused(client, "test", [image_of(picture())], model_version="9")[0] == "NOT_FOUND"
    status, said = refused(client, "test", [file_of(b"torn")])
    assert status == "INVALID_ARGUMENT"
    assert said.startswith("not an image: it begins with b'torn'.")
    assert refused(client, "test", [image_of(picture()[:, :, :2])])[0] == "INVALID_ARGUMENT"
    status, said = refused(client, "test", [image_of(picture())], parameters={"treshold": 0.5})
    assert (status, "treshold" in said) == ("INVALID_ARGUMENT", True)
    status, said = refused(client, "../../predict", [image_of(picture())])
    assert status == "NOT_FOUND"


def test_an_output_that_asks_for_json_comes_as_grpc_has_it(client: Any) -> None:
    mask = triton.InferRequestedOutput("mask")
    mask._output.parameters["binary_data"].bool_param = False
    answer = client.infer("test", [image_of(disc(20, 30))], outputs=[mask])
    assert answer.as_numpy("mask").shape == (20, 30)


def test_a_key_is_asked_for() -> None:
    key = "k" * 16
    with client_of(segmenter(), api_key=key) as client:
        assert refused(client, "test", [image_of(picture())])[0] == "UNAUTHENTICATED"
        answer = client.infer("test", [image_of(picture())], headers={"x-api-key": key})
        assert answer.as_numpy("mask").shape == picture().shape[:2]


def test_more_than_the_limit_is_refused_before_it_is_kept() -> None:
    with client_of(segmenter(), max_bytes=10_000) as client:
        status, said = refused(client, "test", [image_of(np.zeros((200, 200, 3), np.uint8))])
        assert (status, "larger" in said) == ("RESOURCE_EXHAUSTED", True)
        assert client.infer("test", [image_of(disc(20, 30))]).as_numpy("mask").shape == (20, 30)


def test_a_caller_that_leaves_ends_its_work(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vesselrt.server")
    gate = Gate()
    gate.shut()
    with client_of(segmenter(gate)) as client:
        try:
            status, _ = refused(client, "test", [image_of(picture())], client_timeout=2)
            assert status == "DEADLINE_EXCEEDED"
            wait_until(lambda: " POST /v2/models/test/infer 499 " in caplog.text)
        finally:
            gate.open.set()
        assert client.infer("test", [image_of(disc(20, 30))]).as_numpy("mask").shape == (20, 30)


def test_a_message_that_does_not_come_ends_its_call() -> None:
    limits = {"max_memory": 40 * 2**20, "max_bytes": 2**20, "body_timeout": 0.3}
    with client_of(segmenter(), **limits) as client:
        ended, method = threading.Event(), "/inference.GRPCInferenceService/ModelInfer"
        calls = [client._channel.stream_unary(method).future(_never(ended)) for _ in range(16)]
        try:
            assert {call.exception(20).code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        finally:
            ended.set()
        assert client.infer("test", [image_of(disc(20, 30))]).as_numpy("mask").shape == (20, 30)


def _never(ended: threading.Event) -> Iterator[bytes]:
    ended.wait(20)
    yield from ()


def test_a_call_that_fails_leaves_no_photograph_in_memory() -> None:
    black = image_of(np.zeros((1000, 1000, 3), np.uint8))
    with client_of(segmenter()) as client:
        refused(client, "test", [black])
        gc.disable()  # a busy server's may not come by for a while
        tracemalloc.start()
        try:
            for _ in range(4):
                refused(client, "test", [black])
            assert tracemalloc.get_traced_memory()[0] < 3_000_000
        finally:
            tracemalloc.stop()
            gc.enable()


def test_a_connection_without_calls_ends_and_the_client_opens_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gateway._CONNECTIONS_MS, "grpc.max_connection_idle_ms", 200)
    states = list[Any]()
    with client_of(segmenter()) as client:
        client._channel.subscribe(states.append)
        wait_until(lambda: states[-1:] == [grpc.ChannelConnectivity.IDLE])
        assert client.infer("test", [image_of(disc(20, 30))]).as_numpy("mask").shape == (20, 30)


def test_calls_at_once_fit_into_the_memory() -> None:
    limits = ServerSettings(max_bytes=2**20, max_memory=8 * 2**20, grpc_port=1)
    assert gateway.calls_at_once(limits) == 3
    assert gateway.calls_at_once(ServerSettings(grpc_port=1, max_bytes=2**20)) == 16


def test_calls_at_once_fit_into_a_small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "usual_budget", lambda workers: 2**30 // workers)
    assert gateway.calls_at_once(ServerSettings(grpc_port=1)) == 7
    assert gateway.calls_at_once(ServerSettings(grpc_port=1, workers=2)) == 3
