#!/usr/bin/env bash
# Install torch first, so that no later package pulls in another build of it.
# TORCH_INDEX may name a package index with the build wanted (CPU builds save gigabytes).
# Usage: install-torch.sh PYTHON
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pin=$(grep -E '^torch==' "$here/../constraints.txt")
"$1" -m pip install --quiet ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$pin"
