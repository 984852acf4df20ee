"""Checks that OpenCV is installed completely, without importing it."""

from importlib.util import find_spec

_WHEELS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
"""All of them install into one folder, cv2: each overwrites files of the others, and removes them when it goes."""


def check_opencv() -> None:
    """Raises ImportError, which says how to repair an OpenCV that is incomplete or missing."""
    spec = find_spec("cv2")
    if spec is not None and spec.origin is not None:  # without one it is a folder that no code is left in
        return
    found = _installed_wheels()
    wheels = ", ".join(f"{name} {number}" for name, number in found.items()) or "none"
    remove = f"pip uninstall --yes {' '.join(found)}; " if found else ""
    state = "missing" if spec is None else "a folder without its code"
    raise ImportError(
        f"OpenCV is not whole: cv2 is {state}. Its wheels overwrite each other, so one alone may be installed; "
        f"here: {wheels}. Run: {remove}pip install opencv-python-headless"
    )


def _installed_wheels() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # one of the slower imports

    found = {}
    for name in _WHEELS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
