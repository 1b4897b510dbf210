"""``python -m headrace.targets.redshift_mock FOLDER``: serve a folder."""

import sys
from pathlib import Path

from headrace.errors import HeadraceError
from headrace.targets.redshift_mock.process import serve

if __name__ == "__main__":
    try:
        serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    except HeadraceError as error:
        sys.exit(str(error))
