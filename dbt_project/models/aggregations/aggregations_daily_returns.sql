{{ config(unique_key=['trade_date', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set reach = var('previous_close_days') %}
{%- set written = widened(changed_days(), forward=reach) %}

with ordered as (
    select
        symbol,
        asset_class,
        trade_date,
        close_price,
        lag(trade_date) over (partition by symbol order by trade_date) as date_before,
        lag(close_price) over (partition by symbol order by trade_date) as close_before
    from {{ ref('aggregations_daily_ohlcv') }}
    where {{ within_days('trade_date', widened(written, back=reach)) }}
),

reachable as (
    select
        symbol,
        asset_class,
        trade_date,
        close_price,
        if(date_before >= date_add('day', -{{ reach }}, trade_date), date_before) as previous_trade_date,
        if(date_before >= date_add('day', -{{ reach }}, trade_date), close_before) as previous_close_price
    from ordered
),

made as (
    select
        symbol,
        asset_class,
        trade_date,
        close_price,
        previous_trade_date,
        previous_close_price,
        close_price / previous_close_price - 1 as simple_return,
        ln(close_price / previous_close_price) as log_return
    from reachable
    where {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
