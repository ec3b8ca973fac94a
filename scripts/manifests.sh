#!/usr/bin/env bash
# Writes deploy/manifests/*.yaml, the chart for people without Helm; with --check it only says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

helm=$(scripts/helm.sh)
mode=${1:-}

# Writes a file: what to do with it, a file of values, and options of `helm template`.
write() {
  local file=deploy/manifests/$1.yaml what=$2 values=deploy/manifests/$3.yaml
  shift 3
  new=$(
    echo "# Written by scripts/manifests.sh from the chart in deploy/helm and $values: change those."
    echo "# $what"
    "$helm" template firstlook deploy/helm/firstlook --namespace firstlook --values "$values" --kube-version 1.37 "$@" |
      grep -v -e '^# Source: ' -e 'managed-by: Helm' -e 'helm.sh/'
  )
  if [ "$mode" = --check ]; then
    diff -u "$file" <(echo "$new") || { echo "$file is out of date: run scripts/manifests.sh" >&2; exit 1; }
  else
    echo "$new" >"$file"
  fi
}

for flavour in sqlite postgres; do
  write firstlook-$flavour "Put your registry and your channels in, create the Secret, then apply; docs/deploy.md has the commands." values-$flavour
done
write ingress "Put your host and your class in. For either flavour." values-sqlite \
  --set ingress.enabled=true,ingress.className=nginx,ingress.tlsSecretName=firstlook-tls --show-only templates/ingress.yaml
write monitoring "For prometheus-operator, whose resources these are; put the labels in that your Prometheus selects. For either flavour." \
  values-sqlite --set serviceMonitor.enabled=true,prometheusRule.enabled=true \
  --set serviceMonitor.labels.release=kube-prometheus-stack,prometheusRule.labels.release=kube-prometheus-stack \
  --show-only templates/servicemonitor.yaml --show-only templates/prometheusrule.yaml
