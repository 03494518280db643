#!/usr/bin/env bash
# debian_packages.sh PACKAGES PROGRAM...: installs Debian's packages if one of the programs is missing, or says what to install.
# One process at a time may do so: apt does not wait for another update. The tests' Install sees to that. What it does wait for is
# dpkg's lock, which update-ca-certificates needs too.
set -euo pipefail

packages=$1
shift
missing() {
  for program in "$@"; do
    command -v "$program" >/dev/null || echo "$program"
  done
}
if [ -n "$(missing "$@")" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Debian's $packages" >&2
  # shellcheck disable=SC2086 # They are several.
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 install --no-install-recommends $packages; } >/dev/null
fi
if [ -n "$(missing "$@")" ]; then
  echo "missing: $(missing "$@" | xargs) (Debian: apt-get install $packages)" >&2
  exit 1
fi
