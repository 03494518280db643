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

packages="cmake autoconf automake libtool make g++ xz-utils"
missing() {
  for program in cmake autoconf automake libtoolize make g++ xz; do
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
echo "building aws-lambda-ric"
npm ci --no-audit --no-fund --silent
cp package-lock.json "$stamp"
