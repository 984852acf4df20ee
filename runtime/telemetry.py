"""Turns off the telemetry of libraries, before they are imported.

- ONNX Runtime (1.32) posts the processor, the program's path and the names of models to Microsoft, and keeps a number
  for the machine in ~/.cache/Microsoft. `ORT_DISABLE_TELEMETRY` stops it; `disable_telemetry_events()` comes too late.
- OpenVINO posts each import to an analytics service from a process of its own, and keeps a number for the user in
  ~/intel. It does so through the package `openvino_telemetry`, and takes an empty stand-in of its own where that can't
  be imported. NNCF does likewise.
- Ray posts what a cluster consists of. `RAY_USAGE_STATS_ENABLED=0` stops it.

A user's own choice is respected: the variable in the environment, and `opt_in_out --opt_in`, OpenVINO's command.
"""

import os
import sys
from pathlib import Path
from typing import Any, cast


def turn_off() -> None:
    """For this process and its children. It has no effect on libraries that are already imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not _openvino_is_allowed():
        cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)  # None: can't be imported


def _openvino_is_allowed() -> bool:
    """Whether OpenVINO's file of consent says yes. Where there is none, OpenVINO takes that for a yes."""
    consent = Path(os.path.expanduser("~/intel/openvino_telemetry"))  # noqa: PTH111 - Path's raises without a home
    try:
        return consent.read_text("utf-8").strip() == "1"
    except (OSError, UnicodeDecodeError):
        return False
