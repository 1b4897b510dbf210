#!/usr/bin/env bash
# The last step of a new container: all is there, and `headrace doctor` says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# again, for it may have been made of an older commit; it also finds uv
source .devcontainer/update-content.sh
uv run --no-sync headrace doctor
