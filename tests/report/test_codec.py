"""`report.json`: its schema, and the same bytes for the same content."""

from __future__ import annotations

import json

import jsonschema

from gradcam.report import (
    Verdict,
    codec,
)
from tests import fakes
from tests.report_fakes import report


def test_the_published_schema_is_the_data_models_own():
    assert codec.published_schema() == codec.schema_of_model()


def test_a_report_keeps_the_published_schema():
    jsonschema.validate(json.loads(codec.encode(report())), json.loads(codec.published_schema()))


def test_reading_and_writing_json_again_gives_the_same_bytes():
    data = codec.encode(report(verdict=Verdict(summary="[ 1,\n 2 ]", questions=("[\n1\n]",))))
    assert codec.encode(codec.decode(data)) == data


def test_json_written_in_pieces_is_laid_out_as_if_it_were_written_at_once():
    for made in (report(), report(fakes.photo(name="a.png"), fakes.photo(name="b.png"), title="[\n1\n]")):
        data = codec.encode(made)
        assert len(list(codec.encode_in_pieces(made))) > len(made.findings)
        assert data == codec._dumps(json.loads(data)) + b"\n"  # pyright: ignore[reportPrivateUsage]
