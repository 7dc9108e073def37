"""The presets that docs/contributing.md lists are those of CMakePresets.json, and set options that exist."""

import json
import re

from documents import read

PRESETS = json.loads(read("CMakePresets.json"))
VISIBLE = [preset["name"] for preset in PRESETS["configurePresets"] if not preset.get("hidden")]


def test_the_documented_presets_are_all():
    assert re.findall(r"^\| `(\w+)` \| `build/\1` \|", read("docs/contributing.md"), re.M) == VISIBLE


def test_every_preset_can_be_configured_built_and_tested():
    for kind in ("buildPresets", "testPresets"):
        assert [preset["configurePreset"] for preset in PRESETS[kind]] == VISIBLE


def test_version_3_is_what_the_least_cmake_reads():
    least = re.search(r"cmake_minimum_required\(VERSION 3\.(\d+)\)", read("CMakeLists.txt"))
    assert PRESETS["version"] == 3
    assert PRESETS["cmakeMinimumRequired"] == {"major": 3, "minor": int(least[1]), "patch": 0}


def test_variables_exist():
    options = set(re.findall(r"(?:option|set)\((EPLB_\w+)", read("CMakeLists.txt")))
    for preset in PRESETS["configurePresets"]:
        for name in preset.get("cacheVariables", {}):
            assert name in options or name.startswith("CMAKE_"), name
