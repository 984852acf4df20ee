"""INT8 that is refused, and in which sentence: the network's limit, NNCF's, or OpenVINO's."""

from pathlib import Path

import numpy as np
import pytest
from graphs import three_convolutions
from manifests import make_manifest
from onnx import ModelProto

from vesselrt.export import int8, parity
from vesselrt.export.emulation import answers_of
from vesselrt.export.modelfile import write_model_file
from vesselrt.export.precision import convert_model
from vesselrt.runtime.errors import ExportError

MANIFEST = make_manifest(name="tiny", tile={"size": 64, "multiple": 4, "margin": 0})
PHOTOGRAPH = np.random.default_rng(0).integers(90, 200, (64, 64, 3), dtype=np.uint8)
WINDOWS = [np.ascontiguousarray(PHOTOGRAPH[None, None, :, :, channel]) for channel in (0, 1)]


def test_a_library_that_computes_otherwise_than_is_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = three_convolutions(), WINDOWS
    expected = answers_of(model, shown)
    monkeypatch.setattr(parity, "_shipped_answers", lambda *_: [1 - answer for answer in expected])
    with pytest.raises(ExportError, match=r"as it is written .* flips 0\.00% .* as OpenVINO computes it here \d"):
        parity.check_int8(expected, model, MANIFEST, shown)


def test_where_the_shipped_library_flips_a_little_more_the_graph_is_given_less_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = tmp_path / "tiny.onnx", []
    write_model_file(three_convolutions(), MANIFEST, source)

    def within(_: int8.Int8Search, most_flipped: float) -> ModelProto:
        asked.append(most_flipped)
        return three_convolutions()

    def check(*_: object) -> dict[str, float]:
        if len(asked) == 1:
            raise parity.ShippedDiffersError("as OpenVINO computes it here")
        return {"flipped": 0.0}

    monkeypatch.setattr(int8.Int8Search, "within", within)
    monkeypatch.setattr("vesselrt.export.precision.check_int8", check)
    written = convert_model(source, tmp_path / "tiny.int8.onnx", "int8", [PHOTOGRAPH])
    assert asked == [parity.MOST_FLIPPED, parity.MOST_FLIPPED / 2]
    assert written.provenance.parity["int8"]["flipped"] == 0


def test_a_library_that_differs_in_any_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "tiny.onnx"
    write_model_file(three_convolutions(), MANIFEST, source)
    monkeypatch.setattr(int8.Int8Search, "within", lambda *_: three_convolutions())
    monkeypatch.setattr(parity, "_shipped_answers", lambda _path, _precision, shown: [np.ones_like(w) for w in shown])
    with pytest.raises(ExportError, match="as OpenVINO computes it here"):
        convert_model(source, tmp_path / "tiny.int8.onnx", "int8", [PHOTOGRAPH])
    assert not (tmp_path / "tiny.int8.onnx").exists()


def test_a_graph_that_nncf_cannot_take_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such pattern\nand pages more")

    monkeypatch.setattr(nncf, "quantize", fail)
    with pytest.raises(ExportError, match=r"can't quantize the network: no such pattern\. Keep this model in f32\.$"):
        int8.Int8Search(three_convolutions(), MANIFEST, WINDOWS, WINDOWS, [])


def test_a_network_for_which_8_bits_are_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    monkeypatch.setattr(nncf, "quantize", lambda model, *_, **__: model)
    with pytest.raises(
        ExportError, match=r"^int8: 8 bits are too few for this network: .* more than 0\.50% of the pix"
    ):
        int8.Int8Search(
            three_convolutions(), MANIFEST, WINDOWS, WINDOWS, [w.astype(np.float32) for w in WINDOWS]
        ).within(0.005)
