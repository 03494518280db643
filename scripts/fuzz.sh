#!/usr/bin/env bash
# Runs every fuzz target for a while (the first argument, as in 10s), one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duration=${1:-10s}
ran=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "fuzzing $target of $package for $duration"
    # Minimising an input that only adds coverage is stopped soon: by default it may take a minute for each.
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 10x "$package"
    ran=$((ran + 1))
  done
done
echo "$ran fuzz targets ran"
