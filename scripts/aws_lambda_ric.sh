#!/usr/bin/env bash
# Builds AWS's runtime of Lambda for Node.js, as test/functions/ric pins it, unless it is there already. It is made of C++ and
# takes a minute or more, so make test does not ask for it; once it is there, the tests of functions run with it, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../test/functions/ric"

# The copy is written last: an interrupted installation leaves none.
stamp=node_modules/installed-package-lock.json
if cmp -s package-lock.json "$stamp"; then
  exit 0
fi

../../../scripts/debian_packages.sh "cmake autoconf automake libtool make g++ xz-utils" cmake autoconf automake libtoolize make g++ xz
echo "building aws-lambda-ric"
npm ci --no-audit --no-fund --silent
cp package-lock.json "$stamp"
