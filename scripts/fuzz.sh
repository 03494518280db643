#!/usr/bin/env bash
# Runs every fuzz target for a while (the first argument, as in 10s), one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duration=${1:-10s}
ran=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "fuzzing $target of $package for $duration"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package"
    ran=$((ran + 1))
  done
done
echo "$ran fuzz targets ran"
