"""Portfolios: what they hold and are worth, hour by hour."""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl

from fin_lake.assets.catalog import entry
from fin_lake.assets.hourly import BEFORE_A_CHART, add_chart, partitions_of, ranges_of_hours, run_hours
from fin_lake.assets.market import build_market_asset
from fin_lake.partitions import HourRange
from fin_lake.portfolios.definitions import Portfolio
from fin_lake.portfolios.splits import value_as_traded
from fin_lake.reports.charts import chart_of_portfolios
from fin_lake.retries import Retries
from fin_lake.schema import ASSET_CLASSES
from fin_lake.settings import Settings
from fin_lake.tables import PORTFOLIOS
from fin_lake.warehouse.market import connect, ensure_schema, read_hourly_closes, read_splits


def build_portfolio_assets(
    portfolios: Mapping[str, Portfolio], settings: Settings
) -> list[dg.AssetsDefinition]:
    """Return the assets of all portfolios: valuations and holdings, in the lake and in PostgreSQL.

    A portfolio's path is computed from its start, whatever hours are asked for: prices come from
    PostgreSQL, in one query for all of it.
    """

    @dg.multi_asset(
        name="value_portfolios",
        deps=[dg.AssetKey(["market", name]) for name in (*ASSET_CLASSES, "corporate_actions")],
        outs={
            name: dg.AssetOut(
                key=dg.AssetKey(["portfolios", name]),
                description=table.description,
                group_name="portfolios",
                kinds={"s3", "parquet"},
                **entry(dg.AssetKey(["portfolios", name]), settings),
                io_manager_key="s3_processed",
            )
            for name, table in PORTFOLIOS.items()
        },
        partitions_def=partitions_of(settings),
        backfill_policy=ranges_of_hours(settings),
    )
    def value_portfolios(context: dg.AssetExecutionContext) -> Iterator[dg.Output[pl.DataFrame]]:
        hours = run_hours(context)
        shown = HourRange(hours.start - BEFORE_A_CHART, hours.end)
        valuations, holdings = [PORTFOLIOS["valuations"].empty()], [PORTFOLIOS["holdings"].empty()]
        again = Retries(settings.step_retries, settings.step_retry_seconds)
        with again.after(context.retry_number), connect(settings.database()) as connection:
            ensure_schema(connection)
            for portfolio in portfolios.values():
                if portfolio.start >= hours.end:
                    continue
                path = HourRange(portfolio.start, hours.end)
                symbols = {*portfolio.symbols, portfolio.benchmark}
                prices = read_hourly_closes(connection, symbols, path)
                valued = value_as_traded(portfolio, prices, read_splits(connection, path), shown)
                valuations.append(valued.valuations)
                holdings.append(valued.holdings)
        charted, of_hours = pl.concat(valuations), pl.col("timestamp") >= hours.start
        add_chart(context, dg.AssetKey(["portfolios", "valuations"]), hours, chart_of_portfolios(charted))
        yield dg.Output(charted.filter(of_hours), output_name="valuations")
        yield dg.Output(pl.concat(holdings).filter(of_hours), output_name="holdings")

    return [
        value_portfolios,
        *(
            build_market_asset(dg.AssetKey(["portfolios", name]), table, settings)
            for name, table in PORTFOLIOS.items()
        ),
    ]
