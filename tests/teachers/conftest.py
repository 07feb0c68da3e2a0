from __future__ import annotations

import pytest

from core.ranks import Ranks


@pytest.fixture(scope="session")
def ranks(tmp_path_factory):
    pair = Ranks(tmp_path_factory.mktemp("ranks"))
    yield pair
    pair.close()
