#!/usr/bin/env bash
# Prints the directory of PostgreSQL's programs for the tests of resources, and installs Debian's PostgreSQL and Redis if they
# are missing.
set -euo pipefail

directory() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }
if { [ -z "$(directory)" ] || ! command -v redis-server redis-cli ip >/dev/null; } && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Debian's postgresql, redis-server and iproute2" >&2
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends postgresql redis-server redis-tools iproute2; } >/dev/null
fi
if [ -z "$(directory)" ] || ! command -v redis-server redis-cli ip unshare >/dev/null; then
  echo "install PostgreSQL, Redis and iproute2 (Debian: apt-get install postgresql redis-server iproute2)" >&2
  exit 1
fi
directory
