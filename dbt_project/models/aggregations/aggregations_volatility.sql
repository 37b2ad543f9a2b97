{{ config(unique_key=['trade_date', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set reach = var('rolling_days') %}
{%- set written = widened(changed_days(), forward=var('previous_close_days') + reach) %}

with rolling as (
    select
        symbol,
        asset_class,
        trade_date,
        log_return,
        count(log_return) over last_5 = 5
        and min(trade_date) over last_5 >= date_add('day', -{{ reach }}, trade_date) as is_full_5,
        count(log_return) over last_20 = 20
        and min(trade_date) over last_20 >= date_add('day', -{{ reach }}, trade_date) as is_full_20,
        stddev_samp(log_return) over last_5 as deviation_5,
        stddev_samp(log_return) over last_20 as deviation_20,
        sqrt({{ days_per_year('asset_class') }}) as annualising
    from {{ ref('aggregations_daily_returns') }}
    where {{ within_days('trade_date', widened(written, back=reach)) }}
    window
        last_5 as (partition by symbol order by trade_date rows between 4 preceding and current row),
        last_20 as (partition by symbol order by trade_date rows between 19 preceding and current row)
),

made as (
    select
        symbol,
        asset_class,
        trade_date,
        log_return,
        if(is_full_5, deviation_5 * annualising) as volatility_5d,
        if(is_full_20, deviation_20 * annualising) as volatility_20d
    from rolling
    where {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
