"""Checks ServiceMonitors, PrometheusRules and AlertmanagerConfigs in YAML files against prometheus-operator's schemas.

Usage: custom-resources.py FILE…   (in an environment with cloudcoil-models-prometheus-operator)
"""

import sys

import yaml
from cloudcoil.models.prometheus_operator import v1, v1alpha1

KINDS = {"ServiceMonitor": v1.ServiceMonitor, "PrometheusRule": v1.PrometheusRule, "AlertmanagerConfig": v1alpha1.AlertmanagerConfig}


def unknown(given, kept, path):
    """Paths of keys the schema does not know: they are there before and not after."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, (one, other) in enumerate(zip(given, kept)):
            yield from unknown(one, other, f"{path}[{index}]")


def main(files):
    checked = 0
    for file in files:
        with open(file) as text:
            documents = [one for one in yaml.safe_load_all(text) if one and one.get("kind") in KINDS]
        for given in documents:
            name = f"{file}: {given['kind']} {given['metadata']['name']}"
            kept = KINDS[given["kind"]].model_validate(given).model_dump(by_alias=True, exclude_unset=True, mode="json")
            strange = list(unknown(given["spec"], kept["spec"], "spec"))
            if strange:
                sys.exit(f"{name} has what the schema does not know: {', '.join(strange)}")
            checked += 1
    if checked == 0:
        sys.exit(f"no custom resource in {', '.join(files)}")
    print(f"{checked} custom resources fit prometheus-operator's schemas")


main(sys.argv[1:])
