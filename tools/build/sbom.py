"""Writes what is in a wheel of eplb, as a CycloneDX document: run by wheel.py with the Python of .venv."""

import argparse
import datetime
import os
import re
import uuid

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

HIGHWAY = "/usr/include/hwy/highway.h"


def component(name, version, license, purl, *, kind=ComponentType.LIBRARY, description=None, scope=None):
    licenses = [LicenseFactory().make_from_string(license)]
    return Component(
        name=name, version=version, type=kind, licenses=licenses, purl=PackageURL.from_string(purl), bom_ref=name,
        description=description, scope=scope,
    )  # fmt: skip


def highway_version():
    with open(HIGHWAY) as file:
        found = dict(re.findall(r"#define HWY_(MAJOR|MINOR|PATCH) (\d+)", file.read()))
    return ".".join(found[part] for part in ("MAJOR", "MINOR", "PATCH"))


def contents(arguments):
    highway = highway_version()
    gcc = arguments.gcc
    exception = "GPL-3.0-or-later WITH GCC-exception-3.1"
    parts = [
        component("highway", highway, "Apache-2.0", f"pkg:github/google/highway@{highway}", description="compiled in"),
        component("libstdc++", gcc, exception, f"pkg:generic/libstdc%2B%2B@{gcc}", description="linked statically"),
        component("libgcc", gcc, exception, f"pkg:generic/libgcc@{gcc}", description="linked statically"),
    ]
    if arguments.cudart:
        purl = f"pkg:pypi/nvidia-cuda-runtime@{arguments.cudart}"
        license = "LicenseRef-NVIDIA-Proprietary"
        parts.append(component("cudart", arguments.cudart, license, purl, description="linked statically"))
    return parts


def needed():
    """What pip installs with it, of any version."""
    return [
        component("cffi", None, "MIT", "pkg:pypi/cffi", scope=ComponentScope.REQUIRED),
        component("numpy", None, "BSD-3-Clause", "pkg:pypi/numpy", scope=ComponentScope.REQUIRED),
    ]


def document(arguments):
    bom = Bom()
    whole = component("eplb", arguments.version, "Apache-2.0", f"pkg:pypi/eplb@{arguments.version}")
    bom.metadata.component = whole
    # The same every time: the time is the commit's, the number follows from what is in it.
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    parts = contents(arguments) + needed()
    names = " ".join(f"{part.name}@{part.version}" for part in parts)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"eplb@{arguments.version} {seconds} {names}")
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(whole, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("version", "gcc", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--cudart", help="version of the CUDA runtime that is linked in")
    arguments = parser.parse_args()
    text = document(arguments)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        raise SystemExit(f"{arguments.out}: {fault}")
    with open(arguments.out, "w") as file:
        file.write(text + "\n")


if __name__ == "__main__":
    main()
