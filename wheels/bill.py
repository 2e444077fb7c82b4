"""Write SHA256SUMS and the bill of materials (CycloneDX 1.6, JSON) of ``wheels/dist``."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sdist import files_of
from system import (
    DIST,
    Python,
    compiler_version,
    constrained_versions,
    problem,
    source_date_epoch,
)

PREFIX = "fastcoord:"
REQUIREMENT = re.compile(r"^Requires-Dist: ([\w.-]+)(.*)$", re.MULTILINE)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe_wheel(wheel: Path, sdist: Path, python: Python) -> dict[str, Any]:
    """Return the entry of a wheel: its checksum, and what it was built from and with."""
    tools = constrained_versions()
    return describe_file(
        wheel,
        {
            "sdist-sha256": sha256(sdist),
            "python": python.name,
            "compiler": compiler_version(python),
            **{name.lower(): version for name, version in tools.items()},
        },
    )


def describe_file(path: Path, properties: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": path.name,
        "name": path.name,
        "hashes": [{"alg": "SHA-256", "content": sha256(path)}],
        **(
            {
                "properties": [
                    {"name": f"{PREFIX}{name}", "value": value}
                    for name, value in sorted(properties.items())
                ]
            }
            if properties
            else {}
        ),
    }


def known_wheels(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the wheels that a bill of materials lists and that still exist."""
    if not path.exists():
        return {}
    listed = json.loads(path.read_text("utf-8")).get("components", [])
    return {
        entry["name"]: entry
        for entry in listed
        if entry["name"].endswith(".whl") and (path.parent / entry["name"]).exists()
    }


def property_of(entry: dict[str, Any], name: str) -> str:
    values = {each["name"]: str(each["value"]) for each in entry.get("properties", [])}
    return values.get(f"{PREFIX}{name}", "")


def bill_path(sdist: Path) -> Path:
    return DIST / f"{sdist.name.removesuffix('.tar.gz')}.cdx.json"


def write_bill(sdist: Path, wheels: dict[str, dict[str, Any]]) -> Path:
    """Write the bill of materials of the sdist and its wheels, and the checksums of all files.

    The dependencies are those that the metadata declares, with their ranges. The bill has no exact
    versions of them, because pip chooses these at installation.

    :param wheels: the entry of every wheel, by file name.
    :return: the path of the bill.
    :raises SystemExit: the bill does not follow the schema.
    """
    metadata = files_of(sdist)["PKG-INFO"].decode("utf-8")
    (version,) = re.findall(r"^Version: (.*)$", metadata, re.MULTILINE)
    tools = constrained_versions()
    required = dependencies(metadata)
    itself = f"pkg:pypi/fastcoord@{version}"
    runtime = {
        "type": "library",
        "bom-ref": f"pkg:pypi/cython@{tools['Cython']}",
        "name": "Cython",
        "version": tools["Cython"],
        "purl": f"pkg:pypi/cython@{tools['Cython']}",
        "description": "translates the modules; its support code is compiled into them",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, itself + sha256(sdist))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(int(source_date_epoch()), timezone.utc).isoformat(),
            "component": {
                "type": "library",
                "bom-ref": itself,
                "name": "fastcoord",
                "version": version,
                "purl": itself,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [
            describe_file(sdist, {}),
            *(wheels[name] for name in sorted(wheels)),
            runtime,
            *required,
        ],
        "dependencies": [
            {
                "ref": itself,
                "dependsOn": sorted({runtime["bom-ref"], *(each["bom-ref"] for each in required)}),
            },
        ],
    }
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        raise problem(f"the bill of materials does not follow the schema: {fault}")
    path = bill_path(sdist)
    path.write_text(text, "utf-8")
    files = sorted(each for each in path.parent.iterdir() if each.name != "SHA256SUMS")
    sums = "".join(f"{sha256(each)}  {each.name}\n" for each in files)
    (path.parent / "SHA256SUMS").write_text(sums, "utf-8")
    return path


def main() -> int:
    """Check the files of ``wheels/dist`` that other machines built, and write the bill."""
    from check import check_with_tools

    (sdist,) = DIST.glob("*.tar.gz")
    known = known_wheels(bill_path(sdist))
    wheels = sorted(DIST.glob("*.whl"))
    check_with_tools([sdist, *wheels], DIST)
    built = {"sdist-sha256": sha256(sdist), "built-by": "cibuildwheel"}
    entries = {path.name: known.get(path.name, describe_file(path, built)) for path in wheels}
    print(write_bill(sdist, entries))
    return 0


def dependencies(metadata: str) -> list[dict[str, Any]]:
    """Return an entry for each package that the metadata or one of its extras requires."""
    requirements: dict[str, list[str]] = {}
    for name, rest in REQUIREMENT.findall(metadata):
        requirements.setdefault(name.lower(), []).append(f"{name}{rest.strip()}")
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}",
            "name": name,
            "purl": f"pkg:pypi/{name}",
            "scope": "optional" if all("extra ==" in each for each in wanted) else "required",
            "properties": [
                {"name": f"{PREFIX}requirement", "value": each} for each in sorted(wanted)
            ],
        }
        for name, wanted in sorted(requirements.items())
    ]


if __name__ == "__main__":
    sys.exit(main())
