"""Load one source of this kind: ``python -m dlt_pipelines.files NAME [--full-refresh]``."""

import subprocess
import sys

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("error: name the source, as in config/default.yml")
    command = [sys.executable, "-m", "headrace", "load", "--source", *sys.argv[1:]]
    sys.exit(subprocess.run(command, check=False).returncode)
