#!/usr/bin/env bash
# Builds the wheel for this machine, installs it into a fresh virtual environment, and runs 100 tests with its fixtures on 4
# workers. All of them must have had an account of their own, and one process must have served them all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd packaging && go run . -out "$folder/dist" -targets "$(go env GOOS)/$(go env GOARCH)")
python3 -m venv "$folder/venv"
wheel=$(echo "$folder"/dist/*.whl)
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -c scripts/requirements.txt -c scripts/requirements-kits.txt "$wheel[pytest]" pytest-xdist
cp packaging/testdata/test_fixtures.py "$folder"
cd "$folder"
TRELLIS_SEEN=$folder/seen venv/bin/python -m pytest -q -n 4 test_fixtures.py
test "$(cut -d' ' -f1 seen | sort -u | wc -l)" = 100 || { echo "the tests did not have 100 accounts"; exit 1; }
test "$(cut -d' ' -f2 seen | sort -u | wc -l)" = 1 || { echo "the tests were not served by one process"; exit 1; }
