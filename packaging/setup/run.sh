#!/usr/bin/env bash
# Open the window; with no display, do the same main job headless.
# Usage: run.sh BIN
set -euo pipefail
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname -s)" != Linux ]; then
    bash "$here/check-qt.sh" xcb
    exec "$bin/deltaworks"
fi
echo "No display: running the demo headless."
exec "$bin/deltaworks-cli" demo --out deltaworks-demo
