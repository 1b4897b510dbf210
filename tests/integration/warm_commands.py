"""``headrace``, ``dbt`` and ``pytest`` for a shell, without an interpreter that imports dbt anew.

A script passes its words on to the process of the tests, which has them run: warm_process.py.
"""

import json
import shlex
import sys
from functools import cache
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from warm_process import PYTEST_HERE, as_started, run_module

_MODULES = {"headrace": "headrace", "dbt": "dbt.cli.main", "pytest": "pytest"}
_CLIENT = """
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    words = {"words": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}
    server.sendall(json.dumps(words).encode() + b"\\n")
    with server.makefile("rb") as answer:
        code, out, err = json.loads(answer.read())
for number, text in ((1, out), (2, err)):
    with open(number, "w", encoding="utf-8", closefd=False) as stream:
        stream.write(text)
sys.exit(code)
"""


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        name, *words = asked["words"]
        env = as_started(asked["env"]) | PYTEST_HERE
        done = run_module(_MODULES[name], words, cwd=Path(asked["cwd"]), env=env)
        self.wfile.write(json.dumps([done.returncode, done.stdout, done.stderr]).encode())


@cache
def warm_command() -> str:
    """What a shell puts before ``headrace``, ``dbt`` or ``pytest``, and its words."""
    server = ThreadingTCPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return shlex.join([sys.executable, "-ISc", _CLIENT, str(server.server_address[1])])
