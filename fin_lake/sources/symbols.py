"""What may stand in a request as a symbol or a coin: checked before anything is sent."""

from __future__ import annotations

import re
from typing import Final

from fin_lake.sources.asking import Question
from fin_lake.sources.failures import NotFound
from fin_lake.tables import SYMBOL_PATTERN

_SYMBOL: Final = re.compile(SYMBOL_PATTERN)
_COIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_symbol(question: Question) -> None:
    """Refuse what is no ticker: ``AAPL``, ``BRK.B``, ``^GSPC``, ``BTC-USD`` and ``INR=X`` are.

    Raises
    ------
    NotFound
        The symbol cannot be one.
    """
    if not _SYMBOL.fullmatch(question.symbol):
        raise question.failure(
            NotFound,
            f"{question.symbol!r} is not a symbol",
            "correct FIN_LAKE_STOCK_SYMBOLS, as in AAPL,MSFT",
        )


def check_coin(question: Question, coin: str) -> None:
    """Refuse what is no CoinGecko coin id: ``bitcoin`` and ``matic-network`` are.

    Raises
    ------
    NotFound
        The coin cannot be one.
    """
    if not _COIN.fullmatch(coin):
        raise question.failure(
            NotFound,
            f"{coin!r} is not a coin id",
            "correct FIN_LAKE_CRYPTO_COINS, as in bitcoin=BTC-USD,ethereum=ETH-USD",
        )
