#!/usr/bin/env bash
# Says which of the programs that the tests need are missing or too old, all at once, and what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=()

# at_least VERSION MINIMUM: both are dotted numbers.
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

if ! command -v go >/dev/null; then
  missing+=("Go 1.26 or newer (https://go.dev/dl)")
else
  version=$(go env GOVERSION 2>/dev/null || GOTOOLCHAIN=local go version | cut -d ' ' -f 3)
  if ! at_least "${version#go}" 1.26; then
    missing+=("Go 1.26 or newer; this is ${version} (https://go.dev/dl)")
  # The race detector is linked by the C compiler everywhere but on macOS.
  elif [ "$(go env GOOS)" != darwin ] && ! command -v "$(go env CC | cut -d ' ' -f 1)" >/dev/null; then
    missing+=("a C compiler for Go's race detector (Debian: apt-get install gcc libc6-dev)")
  fi
fi

if ! command -v python3 >/dev/null; then
  missing+=("Python 3.10 or newer with venv (Debian: apt-get install python3 python3-venv)")
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  missing+=("Python 3.10 or newer; this is $(python3 --version)")
elif ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  missing+=("Python's venv module (Debian: apt-get install python3-venv)")
fi

if ! command -v node >/dev/null; then
  missing+=("Node.js 20 or newer with npm (Debian: apt-get install nodejs npm)")
else
  version=$(node --version)
  if ! at_least "${version#v}" 20; then
    missing+=("Node.js 20 or newer; this is ${version}")
  elif ! command -v npm >/dev/null; then
    missing+=("npm (Debian: apt-get install npm)")
  fi
fi

if [ "${#missing[@]}" -gt 0 ]; then
  echo "The tests need, and do not find here:" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi
