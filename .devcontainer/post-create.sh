#!/usr/bin/env bash
# The last step of a new container: `headrace doctor` checks that everything is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# again, because a prebuild may be of an older commit; this also finds uv
source .devcontainer/update-content.sh
uv run --no-sync headrace doctor
