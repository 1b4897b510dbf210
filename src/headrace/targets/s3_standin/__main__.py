"""``python -m headrace.targets.s3_standin FOLDER``: serve a folder."""

import sys
from pathlib import Path

from headrace.targets.s3_standin.process import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
