#!/usr/bin/env bash
# Ten minutes of alerts with one call in a hundred failing in each way, and twenty random sequences of deliveries, kills
# and faults on both engines. For the night: the same tests run for a minute with scripts/test.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/e2e-tools.sh
export FIRSTLOOK_SOAK_SECONDS="${FIRSTLOOK_SOAK_SECONDS:-600}" FIRSTLOOK_SEQUENCES="${FIRSTLOOK_SEQUENCES:-20}"
scripts/with-postgres.sh cargo test --quiet --test e2e -- soak:: sequences:: --nocapture --test-threads 1
