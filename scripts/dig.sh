#!/usr/bin/env bash
# Prints the path of dig for the tests of DNS, and installs Debian's package if it is missing.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" bind9-dnsutils dig
command -v dig
