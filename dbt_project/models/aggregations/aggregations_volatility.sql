{{ config(unique_key=['trade_date', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set reach = var('rolling_days') %}
{%- set written = widened(changed_days(), forward=var('previous_close_days') + reach) %}

with rolling as (
    select
        symbol,
        asset_class,
        trade_date,
        log_return,
        {%- for days in [5, 20] %}
        count(log_return) over last_{{ days }} as returns_{{ days }},
        min(trade_date) over last_{{ days }} as oldest_{{ days }},
        stddev_samp(log_return) over last_{{ days }} as deviation_{{ days }},
        {%- endfor %}
        sqrt({{ days_per_year('asset_class') }}) as annualising
    from {{ ref('aggregations_daily_returns') }}
    where {{ within_days('trade_date', widened(written, back=reach)) }}
    window
        {%- for days in [5, 20] %}
        last_{{ days }} as (
            partition by symbol order by trade_date rows between {{ days - 1 }} preceding and current row
        ){{ ',' if not loop.last }}
        {%- endfor %}
),

made as (
    select
        symbol,
        asset_class,
        trade_date,
        log_return,
        {%- for days in [5, 20] %}
        if(
            returns_{{ days }} = {{ days }} and oldest_{{ days }} >= date_add('day', -{{ reach }}, trade_date),
            deviation_{{ days }} * annualising
        ) as volatility_{{ days }}d{{ ',' if not loop.last }}
        {%- endfor %}
    from rolling
    where {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
