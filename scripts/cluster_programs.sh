#!/usr/bin/env bash
# Installs Debian's packages of the programs that docs/cluster.md uses, where one is missing.
set -euo pipefail

packages="etcd-server etcd-client haproxy openssl curl"

missing() {
  for program in etcd etcdctl haproxy openssl curl; do
    command -v "$program" >/dev/null || echo "$program"
  done
}

if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Debian's $packages" >&2
  # shellcheck disable=SC2086 # They are several.
  { apt-get -qq update && apt-get -qq -y install --no-install-recommends $packages; } >/dev/null
fi
if [ -n "$(missing)" ]; then
  echo "missing: $(missing | xargs) (Debian: apt-get install $packages)" >&2
  exit 1
fi
