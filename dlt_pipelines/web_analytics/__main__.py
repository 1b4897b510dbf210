"""Load only this source: ``python -m dlt_pipelines.web_analytics [--full-refresh]``."""

import subprocess
import sys

if __name__ == "__main__":
    command = [sys.executable, "-m", "headrace", "load", "--source", "web_analytics"]
    sys.exit(subprocess.run([*command, *sys.argv[1:]], check=False).returncode)
