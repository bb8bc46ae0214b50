"""The examples in the docstrings of the room run and print what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import rayred.verdict

MODULES = [module.name for module in pkgutil.iter_modules(rayred.verdict.__path__)]


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in MODULES)])
def test_examples_print_what_they_say(module):
    assert doctest.testmod(import_module(f"rayred.verdict{module}")).failed == 0
