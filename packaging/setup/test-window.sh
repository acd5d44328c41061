#!/usr/bin/env bash
# Runs the window's tests, every module in a process of its own: a process that opens hundreds of
# windows, which the application never does, now and then crashes in the binding.
# Arguments: the Python to use, then pytest's.
set -u
python=$1
shift
failed=()
for module in tests/gui/test_*.py; do
    "$python" -m pytest -q --no-header "$@" "$module"
    code=$?
    # 5 says that no test of this module was asked for.
    if [[ $code -ne 0 && $code -ne 5 ]]; then
        failed+=("$module (exit $code)")
    fi
done
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'Failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
