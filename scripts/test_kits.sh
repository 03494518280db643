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
cp packaging/testdata/test_*.py "$folder"
cd "$folder"
TRELLIS_SEEN=$folder/seen venv/bin/python -m pytest -q -n 4 test_fixtures.py
test "$(cut -d' ' -f1 seen | sort -u | wc -l)" = 100 || { echo "the tests did not have 100 accounts"; exit 1; }
test "$(cut -d' ' -f2 seen | sort -u | wc -l)" = 1 || { echo "the tests were not served by one process"; exit 1; }

# What the fixtures cost at the start: the best of five runs of a test for each worker, with them, and with a client of boto3 that
# asks nobody. Measured, and not required: the machine may be busy. Processor time tells more than the clock then.
best() {
  TIMEFORMAT='%R %U %S'
  for _ in 1 2 3 4 5; do
    { time START=$1 venv/bin/python -m pytest -q -n 4 test_start.py >/dev/null; } 2>&1
  done | awk '{ cpu = $2 + $3; if (NR == 1 || $1 < wall) wall = $1; if (NR == 1 || cpu < least) least = cpu } END { printf "%.2f s, %.2f s of processors", wall, least }'
}
venv/bin/python -m pytest -q -n 4 --collect-only test_start.py >/dev/null # So that everything is compiled.
echo "4 workers with a client of boto3 each: $(best boto3)"
echo "the same with the fixtures and a request: $(best fixtures)"
