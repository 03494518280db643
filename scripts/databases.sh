#!/usr/bin/env bash
# Prints the directory of PostgreSQL's programs for the tests of resources, and installs Debian's PostgreSQL and Redis if they
# are missing. PostgreSQL's server is not on the PATH; the package with pg_ctlcluster comes with it.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" "postgresql redis-server redis-tools iproute2" psql pg_ctlcluster redis-server redis-cli ip unshare
ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1
