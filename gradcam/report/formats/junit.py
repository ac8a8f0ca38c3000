"""The checks of a report as JUnit XML, for a build server."""

from __future__ import annotations

from typing import BinaryIO
from xml.etree import ElementTree

from gradcam.report.checks import Check, Thresholds, check
from gradcam.report.model import Report
from gradcam.text import clean, paragraphs


def write(report: Report, file: BinaryIO, thresholds: Thresholds | None = None) -> None:
    """Write the checks as JUnit XML: a test suite for each photo, a test case for each check."""
    checks = check(report, thresholds)
    root = ElementTree.Element("testsuites", _counts(checks, clean(report.title)))
    cases_of: dict[str, list[Check]] = {photo.name: [] for photo in report.photos}
    for one in checks:
        cases_of[one.photo].append(one)
    for photo, cases in cases_of.items():
        suite = ElementTree.SubElement(
            root, "testsuite", _counts(cases, clean(photo)) | {"timestamp": report.created[:-1]}
        )
        for one in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=clean(photo), name=clean(one.name), time="0")
            if one.failure is not None:
                message = paragraphs(one.failure)
                ElementTree.SubElement(case, "failure", message=message, type="AssertionError").text = message
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    file.write(b"\n")


def _counts(checks: list[Check] | tuple[Check, ...], name: str) -> dict[str, str]:
    failures = sum(one.failure is not None for one in checks)
    return {"name": name, "tests": str(len(checks)), "failures": str(failures), "errors": "0", "time": "0"}
