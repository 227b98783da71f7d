"""Vulnerability assessments of the first API and of the inline scanner, as rows of today's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.lacework.words import pick
from connectors.text import obj, text


def vulnerabilities_of_v1(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A host's assessment, a CVE with its packages, or an image's layers. Nothing when it is none of them."""
    inner = raw.get("host") or raw.get("host_info")
    lists = raw.get("vulnerabilities") if isinstance(raw.get("vulnerabilities"), list) else raw.get("cves")
    if isinstance(inner, dict) and isinstance(lists, list):
        for cve in lists:
            yield from _of_cve(obj(cve), inner)
        return
    if "cve_id" in raw and isinstance(raw.get("packages"), list):
        yield from _of_cve(raw, obj(inner))
        return
    image = obj(raw.get("image"))
    layers = image.get("image_layers")
    if isinstance(layers, list):
        for layer in layers:
            yield from _of_layer(obj(layer), obj(image.get("image_info")))


def _of_cve(cve: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for package in cve.get("packages") or ():
        one = obj(package)
        if not text(cve.get("cve_id"), 256):
            continue
        yield {
            "vulnId": cve.get("cve_id"),
            "severity": one.get("severity") or cve.get("severity"),
            "status": pick(one, "vulnerability_status", "status", "host_status"),
            "mid": pick(host, "machine_id", "mid"),
            "machineTags": {
                **obj(host.get("tags")),
                **({"Hostname": host.get("hostname")} if host.get("hostname") else {}),
            },
            "evalCtx": {"hostname": host.get("hostname")},
            "featureKey": {
                "name": one.get("name"),
                "namespace": one.get("namespace"),
                "version_installed": one.get("version"),
                "package_active": one.get("package_status"),
            },
            "fixInfo": {"fix_available": one.get("fix_available"), "fixed_version": one.get("fixed_version")},
            "cveProps": {
                "description": one.get("description"),
                "link": one.get("cve_link"),
                "cvss_score": one.get("cvss_v3_score") or one.get("cvss_score") or one.get("cvss_v2_score"),
            },
            "props": {
                "first_time_seen": one.get("first_seen_time"),
                "last_updated_time": one.get("last_evaluated_time"),
            },
        }


def _of_layer(layer: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for package in layer.get("packages") or ():
        one = obj(package)
        for vulnerability in one.get("vulnerabilities") or ():
            cve = obj(vulnerability)
            name = text(pick(cve, "name", "cve_id", "vulnId"), 256)
            if not name:
                continue
            yield {
                "vulnId": name,
                "severity": cve.get("severity"),
                "status": cve.get("status"),
                "imageId": pick(info, "image_id", "id"),
                "evalCtx": {
                    "image_info": {
                        "registry": info.get("registry"),
                        "repo": pick(info, "repository", "repo"),
                        "digest": pick(info, "image_digest", "digest"),
                        "id": pick(info, "image_id", "id"),
                        "tags": info.get("tags"),
                    }
                },
                "featureKey": {
                    "name": one.get("name"),
                    "namespace": one.get("namespace"),
                    "version": one.get("version"),
                },
                "featureProps": {"introduced_in": layer.get("created_by")},
                "fixInfo": {
                    "fix_available": pick(one, "fix_available"),
                    "fixed_version": pick(cve, "fix_version", "fixed_version") or one.get("fixed_version"),
                },
                "cveProps": {"description": cve.get("description"), "link": cve.get("link"),
                             "metadata": cve.get("metadata")},
            }  # fmt: skip
