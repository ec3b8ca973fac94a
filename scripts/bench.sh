#!/usr/bin/env bash
# Measures the release build and prints a Markdown table (docs/benchmarks.md explains its rows). Needs nothing but the
# toolchain and Linux, and no network: the model, the MCP server and the chats are scripted counterparts on loopback.
#   scripts/bench.sh           about two minutes, once built
#   scripts/bench.sh --storm   5 000 different groups of alerts in one minute; FIRSTLOOK_STORM_MINUTES=10 for ten
#   FIRSTLOOK_FSYNC=on scripts/with-postgres.sh scripts/bench.sh --dependable
#                              accept rate, recovery and replicas, on SQLite and PostgreSQL
#   scripts/bench.sh --rooms   what a chat sees: delays, messages, bytes; 1 000 incidents in a minute for one bot (10 minutes)
#   scripts/bench.sh --loop    the model's loop: turns, prompts, CPU, memory, large results, and how fast calls are found
set -euo pipefail
cd "$(dirname "$0")/.."

# Only the table goes to standard output; rows appear on standard error as they are measured.
cargo bench --quiet --bench service --no-run
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
printf '%s, %s cores (%s), Linux %s, load %s before' \
  "$(date -u +%F)" "$(nproc)" "${processor:-$(uname -m)}" "$(uname -r)" "$(cut -d ' ' -f 1 /proc/loadavg)"
table=$(cargo bench --quiet --bench service -- "$@")
printf ', %s after\n\n%s\n' "$(cut -d ' ' -f 1 /proc/loadavg)" "$table"
if [[ " $* " == *" --loop "* ]]; then
  printf '\n'
  cargo bench --quiet --bench recover
  printf '\n'
  cargo bench --quiet --bench redact
fi
