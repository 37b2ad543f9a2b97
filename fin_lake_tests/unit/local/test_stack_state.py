"""What the stack remembers, and who may change it."""

from __future__ import annotations

import stat
import threading

import pytest

from fin_lake.local.state import (
    ProcessId,
    ServiceRecord,
    StackError,
    StackState,
    exclusive,
    write_atomically,
)


def test_what_is_saved_is_loaded(tmp_path):
    state = StackState(tmp_path, {"a": ServiceRecord(20_001, ProcessId(7, 12.5)), "b": ServiceRecord(20_002)})
    state.save()
    assert StackState.load(tmp_path) == state


def test_a_stack_that_was_never_started_has_no_services(tmp_path):
    assert StackState.load(tmp_path / "nothing").services == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "services": {"a": {}}}'])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, text):
    StackState.path(tmp_path).write_text(text)
    with pytest.raises(StackError, match=r"stack\.json is damaged") as caught:
        StackState.load(tmp_path)
    assert "remove" in caught.value.remedy


def test_a_file_of_another_version_is_not_guessed_at(tmp_path):
    StackState.path(tmp_path).write_text('{"format": 99, "services": {}}')
    with pytest.raises(StackError, match="another version"):
        StackState.load(tmp_path)


def test_files_are_for_their_owner_alone_and_leave_nothing_beside_them(tmp_path):
    for text in ("one", "two"):
        write_atomically(tmp_path / "secret", text)
    assert (tmp_path / "secret").read_text() == "two"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_write_that_fails_keeps_the_old_text(tmp_path):
    write_atomically(tmp_path / "kept", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "kept", "new \ud800")
    assert (tmp_path / "kept").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_second_command_waits_and_then_says_for_whom(tmp_path):
    held, done = threading.Event(), threading.Event()

    def first():
        with exclusive(tmp_path):
            held.set()
            done.wait(10)

    other = threading.Thread(target=first)
    other.start()
    held.wait(10)
    try:
        with (
            pytest.raises(StackError, match="another `fin-lake up` or `down`"),
            exclusive(tmp_path, seconds=0.1),
        ):
            pytest.fail("two at once")
    finally:
        done.set()
        other.join()
    with exclusive(tmp_path, seconds=0.1):
        pass


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="file/home") as caught, exclusive(tmp_path / "file" / "home"):
        pytest.fail("no folder can be there")
    assert "FIN_LAKE_HOME" in caught.value.remedy
