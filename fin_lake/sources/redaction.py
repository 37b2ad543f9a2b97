"""Removing secrets from text before anybody reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

import yarl

MASK: Final = "***"
SHORT: Final = 8  # characters; keys of real services are longer, those of a local stack are not


class Redactor:
    """A function that replaces every secret in a text by ``***``.

    Parameters
    ----------
    secrets : iterable of str
        The secrets, as they are. They are found JSON-escaped too, and quoted as in a URL (by the
        standard library's ways and aiohttp's own); of a URL, its password alone is found as well.
        One shorter than 8 characters is found as a whole word only.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if form}
        # the longest first, so that a secret that begins with another one leaves no tail
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def __repr__(self) -> str:
        return "Redactor()"


def _pattern(form: str) -> str:
    """Return the pattern of a form: a short one is a word, or `test` would blot out `latest`."""
    quoted = re.escape(form)
    return quoted if len(form) >= SHORT else rf"(?<![A-Za-z0-9]){quoted}(?![A-Za-z0-9])"


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, secret.strip(), json.dumps(secret)[1:-1])
    yield from (quote(secret, safe=""), quote_plus(secret), str(yarl.URL.build(query={"": secret}))[2:])
    if "://" not in secret:
        return
    try:
        password = urlsplit(secret).password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
