"""Shared by the tests of the room."""

import gc

import pytest


@pytest.fixture(autouse=True)
def _no_garbage_collection(monkeypatch):
    """Skip what statsmodels does in every correction of p-values: it takes a tenth of a second."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)
