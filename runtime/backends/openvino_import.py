"""Imports OpenVINO without its converter for files of other frameworks, which is half of the import and not used here.

`openvino.convert_model` is there nevertheless, for a program that embeds vesselrt: the first call imports it.
"""

import sys
from typing import Any, cast

_CONVERTER = "openvino.tools.ovc"
_MODULES = cast(dict[str, Any], sys.modules)


def _convert_model(*arguments: Any, **options: Any) -> Any:
    from openvino.tools.ovc import convert_model

    return convert_model(*arguments, **options)


if "openvino" not in _MODULES:
    _MODULES[_CONVERTER] = None  # None: can't be imported; OpenVINO's own code goes on without it
    try:
        import openvino
    finally:
        del _MODULES[_CONVERTER]
    openvino.convert_model = _convert_model
