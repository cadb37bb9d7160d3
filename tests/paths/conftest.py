from __future__ import annotations

import pytest
from paths_world import make_repository

from dispatcher.action.request import Repository
from dispatcher.paths.repository.checkout import Checkout, resolve


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A small repository at its one commit; tests only read it."""
    root = tmp_path_factory.mktemp("checkout")
    make_repository(
        root,
        {
            "retry.py": "LIMIT = 3\n\n\ndef retry():\n    return LIMIT\n",
            "docs/guide.md": "# Guide\n\nThe retry limit is LIMIT.\n",
            "src/app/main.py": "from retry import retry\n\nretry()\n",
        },
    )
    return resolve(Repository(path=root))
