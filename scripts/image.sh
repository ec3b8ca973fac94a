#!/usr/bin/env bash
# Builds the container image and runs it as a cluster would: root file system read-only, no capability, not root. It must
# diagnose without a network, take an alert, tell a receiver it finds by name, exit 0 when asked to end, and know the
# incident after a restart. Needs docker or podman. Further arguments go to the build, for example a mirror's images:
#   scripts/image.sh --build-arg RUN_IMAGE=mirror.example/distroless/static-debian12:nonroot
# --stand-ins: where no registry of images can be reached, both bases are made of Debian's packages and this machine's Rust.
# ENGINE: how to call it, for example "podman --runtime runc --cgroup-manager cgroupfs"; RUN: more for `run`.
set -euo pipefail
cd "$(dirname "$0")/.."

engine() {
  # shellcheck disable=SC2086
  ${ENGINE:-$(command -v docker || command -v podman)} "$@"
}

folder=$(mktemp -d)
container=firstlook-image-check-$$
stop() {
  engine rm --force "$container" >/dev/null 2>&1 || true
  engine volume rm --force "$container" >/dev/null 2>&1 || true
  [ -z "${receiver:-}" ] || kill "$receiver" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT

# A Debian with a C compiler and Rust; and one that holds certificates, time zones and a user, and no program.
stand_ins() {
  local build="$folder/build" run="$folder/run"
  debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates,tzdata bookworm "$build" >"$folder/debootstrap.log"
  # Whom this machine trusts: a proxy on the way to crates.io, for example.
  cp /etc/ssl/certs/ca-certificates.crt "$build/etc/ssl/certs/"
  mkdir -p "$run"/{etc/ssl/certs,usr/share,tmp,home/nonroot}
  cp "$build/etc/ssl/certs/ca-certificates.crt" "$run/etc/ssl/certs/"
  cp -a "$build/usr/share/zoneinfo" "$run/usr/share/"
  echo 'nonroot:x:65532:65532::/home/nonroot:/sbin/nologin' >"$run/etc/passwd"
  echo 'nonroot:x:65532:' >"$run/etc/group"
  echo 'hosts: files dns' >"$run/etc/nsswitch.conf"
  chmod 1777 "$run/tmp"
  # Whatever else the toolchain has (its documentation) is not needed.
  local rust
  rust=$(rustc --print sysroot)
  cp -a "$rust/bin" "$rust/lib" "$build/usr/local/"
  tar -C "$build" -c . | engine import - localhost/firstlook-build >/dev/null
  tar -C "$run" -c . | engine import --change 'USER 65532:65532' - localhost/firstlook-run >/dev/null
  rm -rf "$build" "$run"
}

arguments=()
if [ "${1:-}" = --stand-ins ]; then
  shift
  stand_ins
  arguments=(--build-arg BUILD_IMAGE=localhost/firstlook-build --build-arg RUN_IMAGE=localhost/firstlook-run)
fi
# shellcheck disable=SC2086
engine build ${BUILD:-} --file deploy/Dockerfile --tag firstlook:check "${arguments[@]}" "$@" .
echo "size: $(engine image inspect --format '{{.Size}}' firstlook:check) bytes, user: $(engine image inspect --format '{{.Config.User}}' firstlook:check)"

# shellcheck disable=SC2086
run() { engine run --read-only --cap-drop ALL --security-opt no-new-privileges ${RUN:-} "$@"; }
run --rm --network none firstlook:check demo --once --lang en | grep -q 'com.tencent.cloud.csi.cbs'

# Prints each body it gets, as a webhook channel's receiver.
python3 -u -c 'import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("0.0.0.0", 0), Receiver)
print(server.server_port, file=sys.stderr, flush=True)
server.serve_forever()' >"$folder/received" 2>"$folder/port" &
receiver=$!
until [ -s "$folder/port" ]; do sleep 0.1; done
cat >"$folder/firstlook.yaml" <<YAML
server: { listen: 0.0.0.0:8080, tokens: [image-check] }
store: sqlite:/var/lib/firstlook/firstlook.db
mcp: [{ name: kubernetes, transport: builtin, snapshot: /etc/firstlook/snapshot }]
channels: [{ name: hook, type: webhook, url: "http://receiver.example:$(cat "$folder/port")/" }]
YAML
chmod 755 "$folder" && chmod 644 "$folder/firstlook.yaml"
scenario=scenarios/01-pvc-provisioner-missing
run --detach --name "$container" --publish 127.0.0.1::8080 --add-host "receiver.example:$(hostname -I | cut -d' ' -f1)" \
  --volume "$container:/var/lib/firstlook" --volume "$folder/firstlook.yaml:/etc/firstlook/firstlook.yaml:ro" \
  --volume "$PWD/$scenario:/etc/firstlook/snapshot:ro" firstlook:check >/dev/null

# Waits until a command succeeds; what the container said when it does not.
within() {
  local what=$1
  shift
  for _ in $(seq 100); do
    if "$@" >"$folder/answer" 2>&1; then return; fi
    sleep 0.2
  done
  echo "not within 20 s: $what" >&2
  cat "$folder/answer" >&2
  engine logs "$container" >&2
  exit 1
}
ask() {
  local path=$1
  shift
  curl --silent --show-error --fail --noproxy '*' --header 'Authorization: Bearer image-check' "$@" \
    "http://$(engine port "$container" 8080 | head -n 1)$path"
}
knows() { ask '/api/v1/incidents' | grep -q com.tencent.cloud.csi.cbs; }
within "it is ready" ask /readyz
ask /webhooks/alertmanager --header 'Content-Type: application/json' --data-binary "@$scenario/alert.json" >/dev/null
within "the diagnosis arrives" grep -q com.tencent.cloud.csi.cbs "$folder/received"
engine stop --time 20 "$container" >/dev/null
code=$(engine inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" = 0 ] || { echo "asked to end, it exits with $code" >&2; exit 1; }
engine start "$container" >/dev/null
within "the incident is known after a restart" knows
echo "the image is sound"
