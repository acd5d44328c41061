#!/usr/bin/env bash
# Name the system libraries that Qt cannot start without, in one sentence.
# Usage: check-qt.sh [offscreen|xcb]
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0
have=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)

needed=(libEGL.so.1:libegl1 libGL.so.1:libgl1 libfontconfig.so.1:libfontconfig1
    libdbus-1.so.3:libdbus-1-3 libxkbcommon.so.0:libxkbcommon0 libglib-2.0.so.0:libglib2.0-0)
if [ "${1:-offscreen}" = xcb ]; then
    needed+=(libxkbcommon-x11.so.0:libxkbcommon-x11-0 libxcb-cursor.so.0:libxcb-cursor0
        libxcb-icccm.so.4:libxcb-icccm4 libxcb-image.so.0:libxcb-image0
        libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-render-util.so.0:libxcb-render-util0
        libxcb-shape.so.0:libxcb-shape0 libxcb-xinerama.so.0:libxcb-xinerama0)
fi
missing=()
for pair in "${needed[@]}"; do
    grep -q "${pair%%:*}" <<<"$have" || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "System libraries are missing for the window: install them with 'sudo apt-get install ${missing[*]}', then run make again." >&2
    exit 1
fi
