"""Slow clients, many clients, and what is no HTTP."""

import json
import socket
import time
from contextlib import suppress

import httpx
import pytest
from serving import PHOTO, converse, figure, picture, png, running, segmenter, wait_until

from vesselrt.server.settings import ServerSettings


def parsed(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["message"]


def test_slow_heads_and_bodies_are_told_and_cut_off() -> None:
    settings = ServerSettings(header_timeout=0.3, body_timeout=0.3)
    with running(segmenter(), settings) as client:
        assert converse(client) == b"", "who sends nothing gets nothing"
        slow = converse(client, b"GET / HT", b"TP/1.1\r\n", b"Host: x\r\n", b"A: b\r\n", pause=0.12)
        assert parsed(slow) == (408, "the head of the request did not come within 0.3 s.")
        answer = converse(client, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"abc")
        assert parsed(answer) == (408, "the body did not come within 0.3 s. Send it faster, or less of it.")
        second = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n"
        assert b" 408 " in converse(client, *second, pause=0.05), "of the second request on a connection too"
        assert client.post("/predict", content=PHOTO).status_code == 200


CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_very_many_very_small_chunks_are_refused(client: httpx.Client) -> None:
    small = b"1\r\na\r\n" * 20_000
    reason = "not a request in HTTP/1.1: the body comes in chunks of less than 256 bytes. Send a well-formed one."
    assert parsed(converse(client, CHUNKED % b"/predict" + small)) == (400, reason)
    answer = converse(client, CHUNKED % b"/nothing", small, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 404"), "answered before its body, of which no more is read"
    # Small ones beside large ones, and a few small ones, are fine.
    pieces = [PHOTO[i : i + 20] for i in range(0, len(PHOTO), 20)][:900]
    rest = PHOTO[20 * len(pieces) :]
    mixed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, rest] if piece)
    last = b"0\r\n\r\nGET / HT"
    assert converse(client, CHUNKED % b"/predict" + mixed + last, pause=0.1).startswith(b"HTTP/1.1 200")


def test_a_body_that_was_answered_before_its_end_comes_to_its_end() -> None:
    with running(segmenter(), ServerSettings(body_timeout=0.3, header_timeout=0.3)) as client:
        started = time.monotonic()
        answer = converse(client, CHUNKED % b"/nothing", b"1\r\na", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 404")
        assert time.monotonic() - started < 3, "uvicorn itself would wait for ever"


def test_who_reads_slowly_is_served_and_who_takes_no_share_of_the_answer_is_not() -> None:
    noise = png(picture(1000, 1000))
    with running(segmenter(), ServerSettings(write_timeout=1)) as client:
        expected = client.post("/predict?format=overlay", content=noise).content

        def ask(share: int, pause: float) -> bytes:
            """Reads the answer in so many shares, with a pause before each."""
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
                connection.settimeout(20)
                connection.connect((client.base_url.host, client.base_url.port or 0))
                head = "POST /predict?format=overlay HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                connection.sendall(f"{head}Content-Length: {len(noise)}\r\n\r\n".encode() + noise)
                answer = b""
                with suppress(ConnectionResetError):
                    for number in range(1, share + 1):
                        time.sleep(pause)
                        while len(answer) < number * len(expected) / share and (piece := connection.recv(16 * 1024)):
                            answer += piece
                    answer += connection.recv(16 * 1024)
                return answer

        assert ask(8, 0.2).endswith(expected), "in longer than 1 s"
        assert len(ask(100, 0.06)) < len(expected), "more than 64 KiB a second, and no quarter of it in 1 s"
        assert figure(client, "vesselrt_held_bytes") == 0


def test_connections_are_bounded() -> None:
    with running(segmenter(), ServerSettings(max_connections=2)) as client:
        client.close()
        with httpx.Client(base_url=client.base_url, trust_env=False) as own:
            wait_until(lambda: own.get("/health").status_code == 200)
            address = (own.base_url.host, own.base_url.port or 0)
            with socket.create_connection(address, timeout=20) as other:
                other.sendall(b"GET ")
                time.sleep(0.1)
                message = "2 connections are open, and no more may. Try again in a moment."
                assert parsed(converse(own)) == (503, message)
            assert own.get("/health").status_code == 200


HTTP: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "illegal request line"),
    "no version": (b"GET /\r\n\r\n", 400, "illegal request line"),
    "header without a colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400, "illegal header line"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host: header"),
    "two lengths": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "conflicting Content-Length headers",
    ),
    "length that is none": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad Content-Length",
    ),
    "giant length": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 25 + b"\r\n\r\n", 400, "bad Content-Length",
    ),
    "chunk that is none": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "illegal chunk header",
    ),
    "unknown transfer": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        400,
        "Only Transfer-Encoding: chunked is supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HTTP)
def test_what_is_no_http_gets_json_too(client: httpx.Client, case: str) -> None:
    sent, status, reason = HTTP[case]
    found, message = parsed(converse(client, sent))
    assert (found, message) == (status, f"not a request in HTTP/1.1: {reason}. Send a well-formed one.")


GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"A" * 20_000,
        GET + b"A: " + b"b" * 20_000,
        GET + b"A: " + b"b" * 20_000 + b"\r\n\r\n",
        GET + b"A: b\r\n" * 3000 + b"\n",
    ],
    ids=["no head", "without an end", "whole", "many fields"],
)
def test_giant_heads_are_refused(client: httpx.Client, sent: bytes) -> None:
    message = "the head of the request has more than 16,384 bytes. Send fewer or shorter headers."
    answer = converse(client, sent)
    assert parsed(answer) == (431, message)
    fields = dict(line.split(b": ", 1) for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert fields[b"x-request-id"].decode() in answer.decode().partition("\r\n\r\n")[2]


def test_a_head_up_to_the_limit_may_come_with_a_body_beyond(client: httpx.Client) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
    head += b"Content-Length: 40000\r\nA: "
    head += b"a" * (16_384 - len(head) - 2) + b"\r\n\r\n"
    assert parsed(converse(client, head + bytes(40_000)))[0] == 415


def test_a_length_beside_chunks_closes_the_connection(client: httpx.Client) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = converse(client, head + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows may be somebody else's request"
    assert b"connection: close" in answer.lower()
