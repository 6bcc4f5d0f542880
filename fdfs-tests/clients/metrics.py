"""Reads a page of metrics on standard input with Prometheus's own parser; a JSON line per sample."""
import json
import sys

from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, f"{family.name} has no help"
    assert family.type in ("counter", "gauge", "histogram"), f"{family.name} is {family.type}"
    for sample in family.samples:
        print(json.dumps([sample.name, sample.labels, sample.value]))
