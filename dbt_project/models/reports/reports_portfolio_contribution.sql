{{ config(unique_key=['trade_date', 'portfolio', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set written = changed_days() %}

with valuations as (
    select
        portfolio,
        hour_start,
        daily_return,
        market_value,
        market_value / (1 + hourly_return) as value_before
    from {{ ref('stg_portfolios') }}
    where {{ within_partitions(written) }}
),

holdings as (
    select
        holding.portfolio,
        cast(holding.hour_start as date) as trade_date,
        holding.symbol,
        holding.hour_start,
        holding.units,
        holding.market_value,
        holding.weight,
        holding.cumulative_contribution,
        holding.contribution * valuations.value_before as gain,
        valuations.market_value / (1 + valuations.daily_return) as value_of_day_before
    from {{ ref('stg_portfolio_holdings') }} as holding
    inner join valuations
        on holding.portfolio = valuations.portfolio and holding.hour_start = valuations.hour_start
    where {{ within_partitions(written) }}
),

made as (
    select
        portfolio,
        trade_date,
        symbol,
        max_by(units, hour_start) as units,
        max_by(market_value, hour_start) as market_value,
        max_by(weight, hour_start) as weight,
        sum(gain) as gain,
        sum(gain) / max_by(value_of_day_before, hour_start) as contribution,
        max_by(cumulative_contribution, hour_start) as cumulative_contribution
    from holdings
    group by portfolio, trade_date, symbol
)

{{ made_or_vanished('made', written) }}
