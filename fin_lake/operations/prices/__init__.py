"""Price lists: a dated file for each region, and what reads one. What is made of them stands in ``cost``."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Final

import msgspec

from fin_lake.errors import FinLakeError

GB: Final = 1024**3
TB: Final = 1024**4
_FOLDER: Final = Path(__file__).parent


class PricesError(FinLakeError):
    """A price list that is missing, or that is not of the form."""


class _Sourced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: str
    seen_at: str = ""
    confirmed: bool = False


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price a GB and month, and up to how many GB it holds."""

    price: float
    up_to_gb: float = math.inf


class StoragePrice(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a storage class costs; a smaller object than ``least_bytes`` is billed as one of these."""

    tiers: tuple[Tier, ...]
    least_bytes: int = 0

    def monthly(self, size: float) -> float:
        """Return what so many bytes cost a month."""
        gigabytes, below, dollars = size / GB, 0.0, 0.0
        for tier in self.tiers:
            dollars += tier.price * max(0.0, min(gigabytes, tier.up_to_gb) - below)
            below = tier.up_to_gb
        return dollars


class RequestPrice(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a thousand requests, transitions or objects cost."""

    per_thousand: float

    def of(self, count: float) -> float:
        """Return what so many cost."""
        return self.per_thousand * count / 1000


class AthenaPrice(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What Athena takes for what it scans, a statement at least ``least_bytes``."""

    per_tb: float
    least_bytes: int = 0

    def billed(self, scanned: int) -> int:
        """Return the bytes that a statement is billed for: whole megabytes, and at least so many."""
        megabytes = math.ceil(scanned / 1024**2)
        return max(megabytes * 1024**2, self.least_bytes)

    def of(self, billed: float) -> float:
        """Return what so many billed bytes cost."""
        return self.per_tb * billed / TB


class EachPrice(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one costs a month."""

    each: float


class TransferPrice(_Sourced, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What bytes to the internet cost, beyond those that are free each month."""

    per_gb: float
    free_gb: float = 0.0

    def of(self, size: float) -> float:
        """Return what so many bytes of a month cost."""
        return self.per_gb * max(0.0, size / GB - self.free_gb)


class RequestPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is paid by the thousand."""

    put: RequestPrice
    get: RequestPrice
    to_standard_ia: RequestPrice
    to_glacier_ir: RequestPrice
    to_intelligent_tiering: RequestPrice
    intelligent_tiering_monitoring: RequestPrice
    cloudwatch_put: RequestPrice


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A region's prices on a day."""

    region: str
    checked: dt.date
    storage: dict[str, StoragePrice]
    requests: RequestPrices
    athena: AthenaPrice
    cloudwatch_metric: EachPrice
    cloudwatch_alarm: EachPrice
    transfer_out: TransferPrice

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The names of the prices that no second page was found to state."""
        found: dict[str, _Sourced] = {f"storage.{name}": one for name, one in self.storage.items()}
        found |= {
            f"requests.{name}": getattr(self.requests, name) for name in RequestPrices.__struct_fields__
        }
        for name in ("athena", "cloudwatch_metric", "cloudwatch_alarm", "transfer_out"):
            found[name] = getattr(self, name)
        return tuple(name for name, one in found.items() if not one.confirmed)


def load_prices(region: str, file: Path | None = None) -> Prices:
    """Return the prices of a file, or the package's own of a region.

    Raises
    ------
    PricesError
        The package has none of the region, or the file is not of the form.
    """
    path = file or _FOLDER / f"{region}.toml"
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Prices)
    except FileNotFoundError:
        there = ", ".join(sorted(one.stem for one in _FOLDER.glob("*.toml")))
        what = f"{file} is not there" if file else f"there is no price list of {region}, but of {there}"
        raise PricesError(what, "copy one of the package's, correct it, and name it with --prices") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise PricesError(
            f"{path} is no price list: {error}", "write it like fin_lake/operations/prices/us-east-1.toml"
        ) from None
