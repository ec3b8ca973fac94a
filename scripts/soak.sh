#!/usr/bin/env bash
# Ten minutes of alerts with one call in a hundred failing in each way, and twenty random sequences of deliveries, kills
# and faults on both engines. For the night: the same tests run for a minute with scripts/test.sh.
# With --storm first ten minutes of 5 000 alerts each, whose figures are printed (scripts/bench.sh --storm).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/e2e-tools.sh
if [ "${1:-}" = --storm ]; then FIRSTLOOK_STORM_MINUTES="${FIRSTLOOK_STORM_MINUTES:-10}" scripts/bench.sh --storm; fi
export FIRSTLOOK_SOAK_SECONDS="${FIRSTLOOK_SOAK_SECONDS:-600}" FIRSTLOOK_SEQUENCES="${FIRSTLOOK_SEQUENCES:-20}"
scripts/with-postgres.sh cargo test --quiet --test e2e -- soak:: sequences:: a46_ --nocapture --test-threads 1
