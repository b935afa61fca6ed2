"""A short run of soak_follower.py: a pool of connections to a follower sees what it wrote, whatever happens."""

import pytest
from soak_follower import soak

pytestmark = pytest.mark.trefoil
SECONDS = 15


def test_a_pool_at_a_follower_never_reads_less_than_it_wrote_or_saw(tmp_path):
    violations, writes = soak(tmp_path, SECONDS, seed=2)
    assert violations == []
    assert writes > 100
