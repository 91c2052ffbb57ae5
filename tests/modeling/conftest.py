"""Token ids of a test that do not depend on the tests that ran before it."""

import pytest

from tests.modeling.test_passes import RNG


@pytest.fixture(autouse=True)
def seeded_token_ids() -> None:
    RNG.seed(5)
