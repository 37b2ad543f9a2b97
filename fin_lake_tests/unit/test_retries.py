"""A step is run again where that can help, and nowhere else."""

from __future__ import annotations

import dagster as dg
import polars as pl
import pytest

from fin_lake.errors import FinLakeError
from fin_lake.io_managers.hours import HourlyIOManager
from fin_lake.lake.store import Lake, LakeError, LakeUnavailableError
from fin_lake.retries import Retries
from fin_lake.settings import load_settings
from fin_lake.sources.failures import Pacing, QuotaExhausted, Unauthorized, Unavailable
from fin_lake.warehouse.market import WarehouseError, WarehouseUnavailableError, connect
from fin_lake_tests.conftest import CREDENTIALS


class PassingError(FinLakeError):
    heals = True


class Store(HourlyIOManager):
    """A store that fails a number of times."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__(retries=Retries(most=2, seconds=0))
        self.error, self.times, self.tried = error, times, 0

    def store(self, _context, _obj):
        self.tried += 1
        if self.tried <= self.times:
            raise self.error

    def load(self, _context):
        return pl.DataFrame()


def run(store: Store) -> bool:
    @dg.asset(io_manager_key="store")
    def table() -> int:
        return 1

    return dg.materialize([table], resources={"store": store}, raise_on_error=False).success


def test_what_may_heal_is_tried_again():
    store = Store(PassingError("not now"), times=2)
    assert run(store)
    assert store.tried == 3


def test_it_is_not_tried_for_ever():
    store = Store(PassingError("not now"), times=9)
    assert not run(store)
    assert store.tried == 3


@pytest.mark.parametrize("error", [FinLakeError("never"), ValueError("never")])
def test_what_does_not_heal_is_not_tried_again(error: Exception):
    store = Store(error, times=1)
    assert not run(store)
    assert store.tried == 1


def test_the_wait_doubles():
    for attempts, seconds in ((0, 10), (1, 20)):
        with pytest.raises(dg.RetryRequested) as caught, Retries(2, 10).after(attempts):
            raise PassingError("not now")
        assert caught.value.seconds_to_wait == seconds


def test_a_server_that_is_away_may_heal_and_a_refusal_does_not(s3_endpoint: str):
    with pytest.raises(WarehouseUnavailableError), connect("postgresql://u:p@127.0.0.1:9/x"):
        pass
    away = load_settings(aws_endpoint_url="http://127.0.0.1:9", **CREDENTIALS)
    with pytest.raises(LakeUnavailableError):
        Lake(away).get("a")
    no_bucket = load_settings(aws_endpoint_url=s3_endpoint, bucket="no-such-bucket", **CREDENTIALS)
    with pytest.raises(LakeError) as caught:
        Lake(no_bucket).get("a")
    assert not caught.value.heals
    assert not WarehouseError("x").heals


def test_sources_that_pass_are_asked_again_and_spent_quotas_are_not():
    assert Pacing.heals
    assert Unavailable.heals
    assert not QuotaExhausted.heals
    assert not Unauthorized.heals
