{{ config(unique_key=['trade_date', 'symbol_a', 'symbol_b'], partitioned_by=['month(trade_date)']) }}

{%- set reach = var('rolling_days') %}
{%- set written = widened(changed_days(), forward=var('previous_close_days') + reach) %}

with returns as (
    select
        symbol,
        asset_class,
        trade_date,
        log_return
    from {{ ref('aggregations_daily_returns') }}
    where
        log_return is not null
        and {{ within_days('trade_date', widened(written, back=reach)) }}
),

pairs as (
    select
        a.symbol as symbol_a,
        b.symbol as symbol_b,
        a.asset_class as asset_class_a,
        b.asset_class as asset_class_b,
        a.trade_date,
        a.log_return as return_a,
        b.log_return as return_b
    from returns as a
    inner join returns as b on a.trade_date = b.trade_date and a.symbol < b.symbol
),

rolling as (
    select
        symbol_a,
        symbol_b,
        asset_class_a,
        asset_class_b,
        trade_date,
        count(*) over last_20 = 20
        and min(trade_date) over last_20 >= date_add('day', -{{ reach }}, trade_date) as is_full,
        -- a constant series correlates with nothing
        min(return_a) over last_20 < max(return_a) over last_20
        and min(return_b) over last_20 < max(return_b) over last_20 as is_moving,
        corr(return_a, return_b) over last_20 as correlation
    from pairs
    window last_20 as (
        partition by symbol_a, symbol_b order by trade_date rows between 19 preceding and current row
    )
),

made as (
    select
        symbol_a,
        symbol_b,
        asset_class_a,
        asset_class_b,
        trade_date,
        -- rounding may carry a perfect correlation past 1
        if(is_full and is_moving, greatest(-1e0, least(1e0, correlation))) as correlation_20d
    from rolling
    where {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
