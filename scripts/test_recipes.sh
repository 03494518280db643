#!/usr/bin/env bash
# Compiles the recipes of docs/containers.md against the libraries that they are for, from PyPI, npm and the Go proxy. No container
# is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT

# recipe LANGUAGE: prints the block of a language.
recipe() { awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } /^```$/ { on = 0 } on' docs/containers.md; }

echo "== Python"
recipe python >"$folder/test_shop.py"
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input testcontainers==4.15.0 boto3 pytest mypy==1.19.0
(cd "$folder" && venv/bin/python -c 'import test_shop' && venv/bin/mypy --ignore-missing-imports --check-untyped-defs test_shop.py)

echo "== Node.js"
mkdir "$folder/node"
recipe ts >"$folder/node/shop.ts"
echo '{"type": "module"}' >"$folder/node/package.json"
(cd "$folder/node" && npm install --silent --no-audit --no-fund --ignore-scripts testcontainers@12.2.0 @aws-sdk/client-vpc-lattice typescript@5.9.3 @types/node@20 &&
  npx tsc --noEmit --strict --skipLibCheck --target es2022 --module nodenext shop.ts)

echo "== Go"
mkdir "$folder/go"
recipe go >"$folder/go/shop_test.go"
(cd "$folder/go" && go mod init shop && GOFLAGS=-mod=mod go get github.com/testcontainers/testcontainers-go@v0.45.0 && go mod tidy && go vet . && test -z "$(gofmt -l .)") 2>"$folder/log" || { cat "$folder/log"; exit 1; }

echo "== Java"
if command -v javac >/dev/null; then
  recipe java >"$folder/ShopTest.java"
  # Its libraries are on Maven Central only. What javac says must be about them alone.
  javac -proc:none -d "$folder" "$folder/ShopTest.java" 2>&1 | grep 'error:' | grep -v 'package .* does not exist\|cannot find symbol' && exit 1
  echo "parsed"
else
  echo "there is no javac"
fi
