#!/usr/bin/env bash
# Installs Debian's programs that change the stores of authorities, for the test of `trellis trust`, if they are missing.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/debian_packages.sh" "ca-certificates libnss3-tools default-jre-headless curl util-linux" \
  update-ca-certificates certutil keytool curl unshare
