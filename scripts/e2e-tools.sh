#!/bin/sh
# Fetches the foreign programs that end-to-end tests run: once, under target/e2e, from the npm registry.
set -eu

version=0.0.67
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/e2e

case $(uname -s) in
Linux) system=linux ;;
Darwin) system=darwin ;;
*) echo "kubernetes-mcp-server has no npm package for $(uname -s)" >&2; exit 1 ;;
esac
case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64 | arm64) machine=arm64 ;;
*) echo "kubernetes-mcp-server has no npm package for $(uname -m)" >&2; exit 1 ;;
esac

package=kubernetes-mcp-server-$system-$machine
program=$target/node_modules/$package/bin/$package
link=$target/bin/kubernetes-mcp-server

if [ "$("$link" --version 2>/dev/null || true)" = "v$version" ]; then
    exit 0
fi
command -v npm >/dev/null || { echo "npm is needed to fetch kubernetes-mcp-server; install Node.js" >&2; exit 1; }
mkdir -p "$target/bin"
npm install --prefix "$target" --no-audit --no-fund --ignore-scripts --loglevel=error "$package@$version" >&2
chmod +x "$program"
ln -sf "$program" "$link"
[ "$("$link" --version)" = "v$version" ] || { echo "$link is not v$version" >&2; exit 1; }
