#!/usr/bin/env bash
# Writes deploy/manifests/*.yaml, the chart for people without Helm; with --check it only says whether they are up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

helm=$(scripts/helm.sh)
for flavour in sqlite postgres; do
  file=deploy/manifests/firstlook-$flavour.yaml
  values=deploy/manifests/values-$flavour.yaml
  new=$(
    echo "# Written by scripts/manifests.sh from the chart in deploy/helm and $values: change those."
    echo "# Put your registry and your channels in, create the Secret, then apply; docs/deploy.md has the commands."
    "$helm" template firstlook deploy/helm/firstlook --namespace firstlook --values "$values" |
      grep -v -e '^# Source: ' -e 'managed-by: Helm' -e 'helm.sh/'
  )
  if [ "${1:-}" = --check ]; then
    diff -u "$file" <(echo "$new") || { echo "$file is out of date: run scripts/manifests.sh" >&2; exit 1; }
  else
    echo "$new" >"$file"
  fi
done
