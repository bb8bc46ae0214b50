"""What the room imports."""

import subprocess
import sys

CODE = """
import sys, rayred.verdict
heavy = {"torch", "ray", "mlflow", "optuna"} & set(sys.modules)
assert not heavy, heavy
"""


def test_verdict_needs_neither_torch_nor_ray_nor_mlflow():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
