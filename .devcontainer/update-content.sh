#!/usr/bin/env bash
# Installs the project's dependencies, as locked. A prebuild of Codespaces runs this in advance.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v uv >/dev/null; then
    python -m pip install --quiet --user uv
    # The user's own bin may not be on PATH yet in the shell that creates the container.
    PATH="$(python -m site --user-base)/bin:$PATH"
fi
uv sync --locked --compile-bytecode
