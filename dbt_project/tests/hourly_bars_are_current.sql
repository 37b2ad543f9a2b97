-- The stored hourly bars are those that the lake's hours make now.
with derived as (
    select
        trade_date,
        symbol,
        count(*) as hours,
        sum(bar_count) as bars,
        sum(close_price) as close_prices
    from {{ ref('stg_hourly_bars') }}
    where {{ within_partitions(tested_days()) }}
    group by trade_date, symbol
),

stored as (
    select
        trade_date,
        symbol,
        count(*) as hours,
        sum(bar_count) as bars,
        sum(close_price) as close_prices
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', tested_days()) }}
    group by trade_date, symbol
)

select
    coalesce(stored.trade_date, derived.trade_date) as trade_date,
    coalesce(stored.symbol, derived.symbol) as symbol
from stored
full outer join derived on stored.trade_date = derived.trade_date and stored.symbol = derived.symbol
where
    stored.hours is distinct from derived.hours
    or stored.bars is distinct from derived.bars
    or not coalesce(abs(stored.close_prices - derived.close_prices) <= 1e-9 * derived.close_prices, false)
