"""What every request passes: its name, the key, other sites, the log."""

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from serving import KEY, PHOTO, error, running, segmenter, wait_until

from vesselrt.server.settings import ServerSettings


@pytest.mark.parametrize("address", ["/predict", "/health", "/nowhere", "/v2", "/metrics", "/openapi.json"])
def test_every_answer_has_a_name_times_and_security_headers(client: httpx.Client, address: str) -> None:
    headers = client.get(address).headers
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
    assert re.fullmatch(r"total;dur=\d+\.\d", headers["server-timing"])
    expected = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }
    assert {name: headers[name] for name in expected} == expected
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a-b.c_1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("", False)],
)
def test_a_sane_request_id_is_taken_over(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, sent: str, kept: bool
) -> None:
    with caplog.at_level(logging.INFO, "vesselrt.server"):
        answer = client.get("/nowhere", headers=[(b"X-Request-ID", sent.encode())])
        name = answer.headers["x-request-id"]
        line = re.compile(rf"127\.0\.0\.1 GET /nowhere 404 [\d.]+ ms {re.escape(name)}")
        wait_until(lambda: any(map(line.fullmatch, caplog.messages)))
    assert error(answer)[0] == 404
    assert (answer.headers["x-request-id"] == sent) == kept


def test_an_address_can_not_write_lines_of_its_own_into_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "vesselrt.server"):
        client.get("/a%0Ab")
        wait_until(lambda: any("/a%0Ab" in message for message in caplog.messages))
    assert not [m for m in caplog.messages if "\n" in m]


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    settings = ServerSettings(api_key=KEY, cors_origins=["https://pacs.example"])
    with running(segmenter(), settings) as client:
        yield client


@pytest.mark.parametrize("address", ["/", "/health", "/health/live", "/health/ready", "/v2/health/live"])
def test_health_and_page_need_no_key(guarded: httpx.Client, address: str) -> None:
    assert guarded.get(address).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["/models", "/version", "/metrics", "/openapi.json", "/nowhere", "/healthy", "/v2", "/health/../models"],
)
def test_everything_else_needs_it(guarded: httpx.Client, address: str) -> None:
    assert guarded.get(address).status_code == 401


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({"X-API-Key": KEY}, True),
        ({"Authorization": f"Bearer {KEY}"}, True),
        ({"Authorization": f"bearer {KEY}"}, True),
        ({}, False),
        ({"X-API-Key": ""}, False),
        ({"X-API-Key": KEY[:-1]}, False),
        ({"X-API-Key": KEY + "0"}, False),
        ({"X-API-Key": "é".encode("latin-1")}, False),
        ({"Authorization": f"Basic {KEY}"}, False),
        ({"Authorization": KEY}, False),
    ],
)
def test_the_key_admits_and_nothing_else(guarded: httpx.Client, headers: dict[str, Any], admitted: bool) -> None:
    answer = guarded.post("/predict", content=PHOTO, headers=headers)
    assert answer.status_code == (200 if admitted else 401)
    if not admitted:
        another = "another" if headers.get("X-API-Key") else "an"
        message = f"{another} API key is needed. Send it as X-API-Key, or as Authorization: Bearer."
        assert error(answer) == (401, "RequestError", message)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text


def test_only_named_sites_may_call(guarded: httpx.Client) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    named = guarded.options("/predict", headers={"Origin": "https://pacs.example", **ask})
    assert (named.status_code, named.headers["access-control-allow-origin"]) == (200, "https://pacs.example")
    other = guarded.options("/predict", headers={"Origin": "https://evil.example", **ask})
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


def test_a_key_is_asked_for_in_the_folder_of_a_proxy_too() -> None:
    with running(segmenter(), ServerSettings(root_path="/vessels", api_key=SecretStr(KEY)), warm=True) as client:
        assert client.get("/vessels/health").status_code == client.get("/health").status_code == 200
        for address in ("/vessels/predict", "/predict"):
            assert client.post(address, content=PHOTO).status_code == 401
            assert client.post(address, content=PHOTO, headers={"X-API-Key": KEY}).status_code == 200
