from __future__ import annotations

import pytest
from faults_ground import TOKEN, TOKEN_VARIABLE
from schedule_run import Theatre


@pytest.fixture(autouse=True)
def repository_token(monkeypatch):
    """The token of the checkout, by which it is told whether secrets stay where they belong."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)


@pytest.fixture(scope="module")
def theatre(tmp_path_factory):
    with Theatre(tmp_path_factory.mktemp("theatre") / "ground") as made:
        yield made
