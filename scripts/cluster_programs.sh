#!/usr/bin/env bash
# Installs Debian's packages of the programs that docs/cluster.md uses, where one is missing.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" "etcd-server etcd-client haproxy openssl curl" etcd etcdctl haproxy openssl curl
