"""The examples in the docstrings of the room run and print what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import rayred.linkage

MODULES = [module.name for module in pkgutil.iter_modules(rayred.linkage.__path__)]


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in MODULES)])
def test_examples_print_what_they_say(module):
    assert doctest.testmod(import_module(f"rayred.linkage{module}")).failed == 0


def test_public_names_have_examples():
    finder = doctest.DocTestFinder()
    for module in ("", ".build", ".closest", ".estimator", ".settings", ".tree"):
        tests = finder.find(import_module(f"rayred.linkage{module}"))
        assert any(test.examples for test in tests), module
