"""Secrets are removed from text, in every form that they take there."""

from __future__ import annotations

import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fin_lake.sources.asking import Question
from fin_lake.sources.redaction import Redactor
from fin_lake_tests.unit.sources.answers import question

secrets = st.text(string.ascii_letters + string.digits + '+/=&%"\\ #äö', min_size=3, max_size=20).filter(
    lambda text: text.strip() == text
)


@given(st.lists(secrets, min_size=1, max_size=4), st.text(max_size=10))
def test_no_form_of_any_secret_remains(keys, around):
    redact = Redactor(keys)

    for key in keys:
        for form in (key, quote(key, safe=""), json.dumps(key)):
            assert key not in redact(f"{around}|{form}|{around}") or key in around


@given(st.text())
def test_text_without_secrets_is_unchanged(text):
    assert Redactor(())(text) == text


def test_a_secret_that_begins_with_another_leaves_no_tail():
    assert Redactor(["ABCDEFGH", "ABCDEFGHIJ"])("ABCDEFGHIJ ABCDEFGH") == "*** ***"


def test_a_short_secret_is_found_as_a_word_only():
    assert Redactor(["test"])("test the latest key=test&x") == "*** the latest key=***&x"


def test_the_password_of_a_url_is_found_alone():
    redact = Redactor(["postgresql://me:s3cr%20t@db/market"])

    assert redact('password "s3cr t" or s3cr%20t refused') == 'password "***" or *** refused'


def test_an_excerpt_is_redacted_before_it_is_cut():
    plain = question()
    about = Question(plain.source, plain.symbol, plain.hours, plain.clock, Redactor(["K" * 40]))

    shown = about.excerpt("x" * 60 + "K" * 40 + "y" * 60)

    assert "KK" not in shown


@pytest.mark.parametrize("body", [b"a\n  b\tc", "a b c"])
def test_an_excerpt_is_one_line(body: bytes | str):
    assert question().excerpt(body) == "'a b c'"


def test_its_representation_shows_nothing():
    assert repr(Redactor(["secret"])) == "Redactor()"
