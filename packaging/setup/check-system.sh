#!/usr/bin/env bash
# Say in one sentence what this machine lacks before anything is installed.
# Usage: check-system.sh PYTHON
set -euo pipefail
python=${1:-python3}

if ! command -v "$python" >/dev/null; then
    echo "Python is missing: install it with 'sudo apt-get install python3 python3-venv', then run make again." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$python" --version) is too old: Deltaworks needs Python 3.11 or newer; name one with 'make PYTHON=python3.11 …'." >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "Python's venv module is missing: install it with 'sudo apt-get install python3-venv', then run make again." >&2
    exit 1
fi
