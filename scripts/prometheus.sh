#!/usr/bin/env bash
# Prints the paths of prometheus and promtool for the test of deploy/, and installs Debian's package if they are missing.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" prometheus prometheus promtool
command -v prometheus
command -v promtool
