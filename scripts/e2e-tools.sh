#!/usr/bin/env bash
# Installs what the end-to-end tests start: Alertmanager, Prometheus, PostgreSQL, kubernetes-mcp-server, an SMTP server, a browser.
# Safe to run again; does nothing when everything is there. Elsewhere than on Debian and Ubuntu it only says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${CARGO_TARGET_DIR:-target}/e2e
mkdir -p "$tools/bin"

missing() { printf 'not installed, its tests are skipped: %s\n' "$*" >&2; }

apt_packages() {
  command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
  command -v prometheus >/dev/null || echo prometheus
  [ -d /usr/lib/postgresql ] || echo postgresql
  command -v chromium >/dev/null || echo chromium fonts-noto-cjk fonts-noto-color-emoji
  python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  command -v npm >/dev/null || echo npm
  command -v faketime >/dev/null || echo faketime
  command -v strace >/dev/null || echo strace
}

packages=$(apt_packages | tr '\n' ' ')
if [ -n "${packages// /}" ]; then
  if ! command -v apt-get >/dev/null; then
    missing "$packages (this script knows only Debian's and Ubuntu's packages)"
  else
    sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    # Debian starts a service on installation; the tests start their own on loopback.
    $sudo apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -yq --no-install-recommends $packages >"$tools/apt.log" 2>&1 \
      || { tail -n 20 "$tools/apt.log" >&2; missing "$packages"; }
  fi
fi

# The platform packages of the npm package hold the binary itself. 0.0.66 is the last version that speaks SSE.
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) platform=linux-amd64 ;;
  Linux-aarch64) platform=linux-arm64 ;;
  Darwin-arm64) platform=darwin-arm64 ;;
  Darwin-x86_64) platform=darwin-amd64 ;;
  *) platform="" ;;
esac

# Installs a version of kubernetes-mcp-server under a name.
mcp_server() {
  local version=$1 program="$tools/bin/$2" package=kubernetes-mcp-server-$platform
  [ "$("$program" --version 2>/dev/null || true)" != "v$version" ] || return 0
  if [ -z "$platform" ] || ! command -v npm >/dev/null; then
    missing "kubernetes-mcp-server $version (needs npm)"
    return 0
  fi
  npm install --no-audit --no-fund --ignore-scripts --loglevel=error --prefix "$tools/npm" "$package@$version"
  install -m 755 "$tools/npm/node_modules/$package/bin/$package" "$program"
}
mcp_server 0.0.67 kubernetes-mcp-server
mcp_server 0.0.66 kubernetes-mcp-server-0.0.66

if [ ! -x "$tools/venv/bin/python" ] || ! "$tools/venv/bin/python" -c 'import aiosmtpd' 2>/dev/null; then
  if python3 -m venv "$tools/venv"; then
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check aiosmtpd==1.4.6
  else
    missing "aiosmtpd (needs python3 with venv)"
  fi
fi
