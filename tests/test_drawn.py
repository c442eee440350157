"""What holds for all tests whose examples Hypothesis draws."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st


def test_an_example_may_take_its_time() -> None:
    @settings(max_examples=1)
    @given(st.none())
    def slow(_nothing: None) -> None:
        time.sleep(0.3)

    slow()
