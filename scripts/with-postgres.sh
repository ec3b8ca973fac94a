#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, which TEST_DATABASE_URL names, and stops the server afterwards.
# Without PostgreSQL's server programs, or with a TEST_DATABASE_URL already set, it only runs the command.
set -euo pipefail

programs=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
if [ -n "${TEST_DATABASE_URL:-}" ] || [ -z "$programs" ]; then
  if [ -z "${TEST_DATABASE_URL:-}" ]; then
    echo "no PostgreSQL server programs: SQLite alone is tested" >&2
    [ -z "${FIRSTLOOK_REQUIRE_POSTGRES:-}" ] || { echo "FIRSTLOOK_REQUIRE_POSTGRES is set: that is not enough" >&2; exit 1; }
  fi
  exec "$@"
fi

# The server refuses to run as root.
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

folder=$(mktemp -d)
chmod 755 "$folder"
[ "$(id -u)" = 0 ] && chown postgres "$folder"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
stop() {
  as "$programs/pg_ctl" --pgdata "$folder/data" --mode immediate --silent stop || true
  rm -rf "$folder"
}
trap stop EXIT
as "$programs/initdb" --pgdata "$folder/data" --auth trust --username firstlook --encoding UTF8 --no-sync >/dev/null
# What is lost with the machine's power is lost with the folder anyway.
as "$programs/pg_ctl" --pgdata "$folder/data" --log "$folder/log" --wait --silent \
  --options "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=${FIRSTLOOK_FSYNC:-off} -c max_connections=400" start
export TEST_DATABASE_URL="postgres://firstlook@127.0.0.1:$port/postgres"
"$@"
