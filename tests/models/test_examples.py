"""The examples in the docstrings of the room run and print what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import rayred.models

MODULES = [module.name for module in pkgutil.iter_modules(rayred.models.__path__)]


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in MODULES)])
def test_examples_print_what_they_say(module):
    assert doctest.testmod(import_module(f"rayred.models{module}")).failed == 0
