#!/usr/bin/env bash
# Ten minutes of alerts with one call in a hundred failing in each way, twenty random sequences of deliveries, kills and
# faults, and a flood of 5 000 alerts before a model that is paid for a few, on both engines. For the night: the same tests
# run for a minute with scripts/test.sh. With --storm first ten minutes of 5 000 alerts each, on one engine after the
# other, asserted and with their figures.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/e2e-tools.sh
if [ "${1:-}" = --storm ]; then
  FIRSTLOOK_STORM_MINUTES="${FIRSTLOOK_STORM_MINUTES:-10}" scripts/with-postgres.sh \
    cargo test --release --quiet --test e2e -- f44_a_storm_at --nocapture
fi
export FIRSTLOOK_SOAK_SECONDS="${FIRSTLOOK_SOAK_SECONDS:-600}" FIRSTLOOK_SEQUENCES="${FIRSTLOOK_SEQUENCES:-20}" FIRSTLOOK_FLOOD="${FIRSTLOOK_FLOOD:-5000}"
scripts/with-postgres.sh cargo test --quiet --test e2e -- soak:: sequences:: a46_ --nocapture --test-threads 1
