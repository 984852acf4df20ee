"""What an operator sets, and what is wrong about it."""

import re
from pathlib import Path

import pytest
from serving import KEY

import vesselrt.server
from vesselrt.runtime.errors import OptionError
from vesselrt.server.settings import ServerSettings


@pytest.mark.parametrize(("field", "value"), [("port", 70000), ("port", -1), ("queue", -1), ("in_flight", 0)])
def test_settings_out_of_range(field: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"^{field} is {value}. Expected "):
        ServerSettings(**{field: value})


def test_settings_by_argument_environment_secret_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vesselrt.toml").write_text('port = 1\nqueue = 2\nmax_batch = 3\ndevice = "cpu"\n')
    (tmp_path / "vesselrt_api_key").write_text(f"{KEY}\n")
    monkeypatch.setenv("VESSELRT_CONFIG", str(tmp_path / "vesselrt.toml"))
    monkeypatch.setenv("VESSELRT_SECRETS", str(tmp_path))
    monkeypatch.setenv("VESSELRT_QUEUE", "20")
    monkeypatch.setenv("VESSELRT_PORT", "10")
    monkeypatch.setenv("VESSELRT_MODELS", "fundus, other=fundus")
    settings = ServerSettings(port=100)
    assert (settings.port, settings.queue, settings.max_batch, settings.device) == (100, 20, 3, "cpu")
    assert settings.models == ("fundus", "other=fundus")
    given, usual = settings.described()
    assert {"api_key = set", "queue = 20"} <= set(given)
    assert "drain = 30.0" in usual
    assert len(given + usual) == len(ServerSettings.model_fields)
    assert KEY not in str(given + usual) + repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "x", "port is 'x'. Expected a valid integer, unable to parse string as an integer."),
        ("DEADLINE", "0", "deadline is '0'. Expected greater than 0."),
        (
            "API_KEY",
            "short",
            "api_key is too short. Expected at least 16 characters, such as those of: openssl rand -hex 16.",
        ),
        ("SECRETS", "/nowhere", "/nowhere: no such folder. VESSELRT_SECRETS names it."),
        (
            "FORMATS",
            "jpg",
            "formats.0 is 'jpg'. Expected 'jpeg', 'png', 'tiff', 'bmp', 'webp', 'gif', 'pnm', 'avif' or 'dicom'.",
        ),
        ("FORMATS", ",", "formats is []. Expected Tuple should have at least 1 item after validation, not 0."),
        (
            "CONFIG",
            "/nowhere.toml",
            "/nowhere.toml: can't be read as TOML (No such file or directory). VESSELRT_CONFIG names it.",
        ),
    ],
)
def test_a_wrong_setting_is_one_message(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"VESSELRT_{name}", value)
    with pytest.raises(OptionError) as caught:
        ServerSettings()
    assert str(caught.value) == message


def test_what_is_named_like_a_setting_and_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ServerSettings.unknown()
    for name in ("vesselrt_api_key", "api_key", "..data"):
        (tmp_path / name).write_text(KEY)
    for name in (
        "VESSELRT_API_KY",
        "VESSELRT_QUEUE",
        "VESSELRT_SERVICE_HOST",
        "VESSELRT_PORT_80_TCP",
        "VESSELRT_CACHE",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("VESSELRT_SECRETS", str(tmp_path))
    assert set(ServerSettings.unknown()) - set(before) == {"VESSELRT_API_KY", "api_key"}


def test_an_unknown_setting_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.toml").write_text("prot = 1\n")
    monkeypatch.setenv("VESSELRT_CONFIG", str(tmp_path / "a.toml"))
    with pytest.raises(OptionError, match=r"^there is no setting prot\. Expected one of: host, port, "):
        ServerSettings()


def test_the_old_name_of_the_settings_works_for_one_version() -> None:
    with pytest.warns(DeprecationWarning, match="ServerSettings"):
        assert getattr(vesselrt.server, "Settings") is ServerSettings  # noqa: B009 - type checkers know no such name


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("root_path", "vessels", "the beginning of a path, such as /vessels"),
        ("root_path", "//elsewhere.example", "the beginning of a path, such as /vessels"),
        ("frame_ancestors", "*", "web sites, such as https://pacs.example"),
        ("frame_ancestors", "https://pacs.example; script-src *", "web sites, such as https://pacs.example"),
    ],
)
def test_what_goes_into_the_page_is_checked(name: str, value: str, expected: str) -> None:
    with pytest.raises(OptionError, match=re.escape(f"Expected {expected}.")):
        ServerSettings(**{name: value})


def test_a_folder_is_taken_without_its_last_slash_and_sites_by_commas() -> None:
    settings = ServerSettings(root_path="/eyes/", frame_ancestors="https://pacs.example, http://ris.example:8080")
    assert settings.root_path == "/eyes"
    assert settings.frame_ancestors == ("https://pacs.example", "http://ris.example:8080")
