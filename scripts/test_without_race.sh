#!/usr/bin/env bash
# Runs the tests that are built only without the race detector, which allocates: those that count allocations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for file in $(grep -rlE '^//go:build .*!race' --include='*_test.go' internal); do
  tests=$(grep -oE '^func Test[A-Za-z0-9_]+' "$file" | cut -d ' ' -f 2 | paste -sd '|')
  go test -run "^($tests)\$" "./$(dirname "$file")"
done
