import subprocess
import sys


def test_linkage_needs_neither_ray_nor_mlflow():
    code = "import sys, rayred.linkage; sys.exit('ray' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
