"""What the tests of training share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The networks of tests are tiny: threads would only wait for each other."""
    from tiny_training import use_one_thread  # here: most tests of data sets and evaluation do without torch

    with use_one_thread():
        yield
