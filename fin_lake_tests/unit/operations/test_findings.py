"""Checks are run side by side, are given up in time, and never break one another."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from fin_lake.errors import FinLakeError
from fin_lake.operations.findings import Check, Finding, Outcome, failed, in_order, ok, run_checks, warning


def found(*checks: Check, secrets: tuple[str, ...] = ()) -> dict[str, Finding]:
    return {name: finding for name, finding, _ in run_checks(checks, secrets)}


def test_checks_that_need_nothing_run_side_by_side():
    both = threading.Barrier(2)

    def meet() -> Finding:
        both.wait(5)
        return ok("met")

    told = found(Check("one", meet), Check("other", meet))
    assert {finding.outcome for finding in told.values()} == {Outcome.OK}


def test_one_that_hangs_is_given_up_and_holds_up_nobody():
    never = threading.Event()

    def hang() -> Finding:
        never.wait(30)
        return ok("too late")

    began = time.monotonic()
    told = found(Check("hangs", hang, seconds=0.2), Check("other", lambda: ok("done")))
    assert time.monotonic() - began < 2
    assert told["hangs"].outcome is Outcome.FAILED
    assert "no answer in 0.2 s" in told["hangs"].found
    assert told["other"].outcome is Outcome.OK
    never.set()


def test_one_that_hangs_does_not_keep_the_program_from_ending():
    program = """
import time
from fin_lake.operations.findings import Check, ok, run_checks
for name, finding, _ in run_checks([Check("hangs", lambda: time.sleep(60), seconds=0.1)]):
    print(finding.outcome)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20, check=True)
    assert done.stdout.strip() == b"failed"


def test_what_needs_a_failed_check_is_skipped_and_names_the_first_of_the_chain():
    looked: list[str] = []

    def look() -> Finding:
        looked.append("looked")
        return ok("")

    told = found(
        Check("last", look, needs=("middle",)),
        Check("middle", look, needs=("first",)),
        Check("first", lambda: failed("broken")),
        Check("warned", lambda: warning("odd")),
        Check("goes on", look, needs=("warned",), after=("first",)),
    )
    assert told["middle"].outcome is told["last"].outcome is Outcome.SKIPPED
    assert told["last"].found == "needs first"
    assert told["goes on"].outcome is Outcome.OK
    assert looked == ["looked"]


def test_an_error_is_a_failed_check_with_its_remedy():
    def known() -> Finding:
        raise FinLakeError("it is\n  broken", "mend it")

    def unknown() -> Finding:
        raise ZeroDivisionError("division by zero")

    told = found(Check("known", known), Check("unknown", unknown), Check("other", lambda: ok("fine")))
    assert told["known"] == failed("it is; broken", cure="mend it")
    assert told["unknown"] == failed("ZeroDivisionError: division by zero")
    assert told["other"].outcome is Outcome.OK


def test_no_secret_is_told():
    told = found(
        Check("leak", lambda: failed("key s3cr3t-of-mine", "not s3cr3t-of-mine", "use s3cr3t-of-mine")),
        secrets=("s3cr3t-of-mine",),
    )
    assert "s3cr3t" not in repr(told)


def test_findings_are_told_in_the_order_of_the_checks():
    slow, quick = Check("slow", lambda: ok("")), Check("quick", lambda: ok(""), after=())
    ended = [("quick", ok("")), ("slow", ok(""))]
    assert [name for name, _ in in_order((slow, quick), ended)] == ["slow", "quick"]
