#!/usr/bin/env bash
# Runs every check of the project: formatting, lints, unit tests, end-to-end tests against real components, docs.
# On Debian and Ubuntu it first installs what the end-to-end tests need (see scripts/e2e-tools.sh); elsewhere it says
# what is missing and which tests are skipped for it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

# Incremental compilation doubles the size of the build directory and helps only the next edit.
[ "${CI:-}" = true ] && export CARGO_INCREMENTAL=0

step "tools of the end-to-end tests"
scripts/e2e-tools.sh

# Where PostgreSQL can be had, a test that finds no server fails: half of what it says would be untested.
if [ "${CI:-}" = true ] || [ -d /usr/lib/postgresql ]; then export FIRSTLOOK_REQUIRE_POSTGRES=1; fi

# The same for what an account may or may not do: where it can mount a small disk, or trace a process, it has to.
can_mount() {
  local folder
  folder=$(mktemp -d)
  mount -t tmpfs -o size=64k tmpfs "$folder" 2>/dev/null || { rmdir "$folder"; return 1; }
  umount "$folder" && rmdir "$folder"
}
can_trace() {
  sleep 5 &
  local traced=$! can=1
  timeout 2 strace -qq -o /dev/null -p "$traced" 2>/dev/null || [ $? -ne 124 ] || can=0
  kill "$traced" 2>/dev/null || true
  return "$can"
}
if can_mount; then export FIRSTLOOK_REQUIRE_MOUNT=1; else echo "not tested: full and read-only disks (this account may not mount)"; fi
if can_trace; then export FIRSTLOOK_REQUIRE_STRACE=1; else echo "not tested: that a commit is synced before its 202 (this account may not trace)"; fi

# A crowd of ten thousand connections needs as many open files; with fewer its test makes a smaller crowd.
ulimit -n "$(ulimit -Hn)" || true

step "formatting"
cargo fmt --check

step "lints"
cargo clippy --all-targets --quiet -- -D warnings

step "tests"
scripts/with-postgres.sh cargo test --quiet

step "the chart and the manifests"
scripts/deploy-check.sh

step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

step "the demo"
# The binary the tests were run with: `cargo run` would build again what depends on a feature of theirs.
built="${CARGO_TARGET_DIR:-target}/debug/firstlook"
"$built" demo --once --lang en >target/demo.md
head -n 12 target/demo.md
grep -q 'test-data' target/demo.md
grep -q 'com.tencent.cloud.csi.cbs' target/demo.md

printf '\nAll checks passed.\n'
