#!/usr/bin/env bash
# Prints the path of an etcd server for the cluster tests, and installs Debian's if there is none.
set -euo pipefail

if ! command -v etcd >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing Debian's etcd-server" >&2
  { apt-get -qq update && apt-get -qq -y install --no-install-recommends etcd-server; } >/dev/null
fi
command -v etcd || { echo "no etcd server found; install etcd (Debian: apt-get install etcd-server)" >&2; exit 1; }
