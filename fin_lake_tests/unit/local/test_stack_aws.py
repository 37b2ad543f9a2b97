"""Objects whose replacement was cut short by a kill."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from fin_lake.local.aws import mend_objects


def put(folder, name: str, content: bytes, told: bytes, *, content_at: int, told_at: int):
    """An object's file, and what its sidecar tells, as of two moments."""
    path = folder / "000000000000" / "bucket" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    meta = path.with_name(f"{path.name}.meta.json")
    described = {
        "size": len(told),
        "etag": f'"{hashlib.md5(told).hexdigest()}"',
        "content_type": "application/gzip",
        "checksums": {"CRC32": "old"},
        "key": name,
    }
    meta.write_text(json.dumps(described))
    os.utime(path, (content_at, content_at))
    os.utime(meta, (told_at, told_at))
    return meta


def test_content_that_is_newer_than_its_description_is_described_again(tmp_path):
    """ministack would serve it with the old length, and the client's read would break off."""
    meta = put(tmp_path, "a/b.json.gz", b"new and longer", b"old", content_at=2_000, told_at=1_000)
    assert mend_objects(tmp_path) == 1
    told = json.loads(meta.read_text())
    assert told["size"] == len(b"new and longer")
    assert told["etag"] == f'"{hashlib.md5(b"new and longer").hexdigest()}"'
    assert told["content_type"] == "application/gzip"
    assert told["checksums"] == {}
    assert told["last_modified"] == "1970-01-01T00:33:20.000Z"
    assert mend_objects(tmp_path) == 0


@pytest.mark.parametrize("told_at", [1_000, 1_001])
def test_what_agrees_is_left_alone(tmp_path, told_at):
    meta = put(tmp_path, "a", b"same", b"same", content_at=1_000, told_at=told_at)
    before = meta.read_text()
    assert mend_objects(tmp_path) == 0
    assert meta.read_text() == before


def test_halves_of_writes_are_removed(tmp_path):
    meta = put(tmp_path, "a", b"same", b"same", content_at=1_000, told_at=1_000)
    half = meta.with_name("a.tmp")
    half.write_bytes(b"ha")
    mend_objects(tmp_path)
    assert sorted(path.name for path in meta.parent.iterdir()) == ["a", "a.meta.json"]
