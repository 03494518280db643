#!/usr/bin/env bash
# Makes .venv with the pinned packages of scripts/requirements.txt, unless it is there already and fits them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The copy is written last: a .venv whose installation was interrupted has none.
stamp=.venv/installed-requirements.txt
if cmp -s scripts/requirements.txt "$stamp" && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi
echo "installing the Python packages of scripts/requirements.txt in .venv"
rm -rf .venv
python3 -m venv .venv
# No dependency is looked up: requirements.txt names them all, and pip check says so when one is missing.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r scripts/requirements.txt
.venv/bin/python -m pip --disable-pip-version-check check
cp scripts/requirements.txt "$stamp"
