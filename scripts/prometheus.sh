#!/usr/bin/env bash
# Prints the paths of prometheus and promtool for the test of deploy/, and installs Debian's package if they are missing.
set -euo pipefail

present() { command -v prometheus && command -v promtool; }

if ! present >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Debian's prometheus" >&2
  { apt-get -qq update && apt-get -qq -y install --no-install-recommends prometheus; } >/dev/null
fi
present || { echo "prometheus or promtool is missing (Debian: apt-get install prometheus)" >&2; exit 1; }
