#!/usr/bin/env bash
# Prints the path of an etcd server for the cluster tests, and installs Debian's if there is none.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" etcd-server etcd
command -v etcd
