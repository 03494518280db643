#!/usr/bin/env bash
# Runs every fuzz target for a while (the first argument, as in 10s), one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duration=${1:-10s}
# Targets that choose nothing but the seeds of random requests. How much of the program a run covers says nothing about which
# seed comes next, and to count it takes most of the time: they run in a test binary that does not count.
unguided='^FuzzEveryOperation$'
binary=$(mktemp)
cache=$(mktemp -d)
trap 'rm -rf "$binary" "$cache"' EXIT
ran=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "fuzzing $target of $package for $duration"
    if [[ $target =~ $unguided ]]; then
      go test -c -o "$binary" "$package"
      (cd "$(go list -f '{{.Dir}}' "$package")" && "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$duration" -test.fuzzcachedir "$cache")
    else
      # Minimising an input that only adds coverage is stopped soon: by default it may take a minute for each.
      go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 10x "$package"
    fi
    ran=$((ran + 1))
  done
done
echo "$ran fuzz targets ran"
