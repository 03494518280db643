#!/usr/bin/env bash
# Makes .venv with the pinned packages of scripts/requirements.txt, unless it is there already and fits them. With an
# argument, such as functions, it is .venv-functions and scripts/requirements-functions.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=.venv${1:+-$1} requirements=scripts/requirements${1:+-$1}.txt

# The copy is written last: a .venv whose installation was interrupted has none.
stamp=$venv/installed-requirements.txt
if cmp -s "$requirements" "$stamp" && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi
echo "installing the Python packages of $requirements in $venv"
rm -rf "$venv"
python3 -m venv "$venv"
# No dependency is looked up: the file names them all, and pip check says so when one is missing.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$requirements"
"$venv/bin/python" -m pip --disable-pip-version-check check
cp "$requirements" "$stamp"
