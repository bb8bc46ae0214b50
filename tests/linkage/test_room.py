"""What the room imports, and that its names can be imported in any order."""

import pkgutil
import subprocess
import sys

import rayred.linkage

CODE = """
import sys
import rayred.linkage, rayred.linkage.tree, rayred.linkage.settings
heavy = {"torch", "ray", "mlflow", "sklearn"} & set(sys.modules)
assert not heavy, heavy
from rayred.linkage import *
from rayred.linkage import CompleteLinkage, complete_linkage
assert not {"ray", "mlflow"} & set(sys.modules)
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("rayred.")}
assert rooms == {"linkage"}, rooms
"""


def test_room_needs_nothing_else_of_rayred_and_a_tree_no_torch():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_public_name_is_also_a_module():
    modules = {module.name for module in pkgutil.iter_modules(rayred.linkage.__path__)}
    assert not modules & set(rayred.linkage.__all__)
    for name in modules:
        __import__(f"rayred.linkage.{name}")
    for name in rayred.linkage.__all__:
        assert callable(getattr(rayred.linkage, name))
