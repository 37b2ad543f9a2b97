{{ config(unique_key=['trade_date', 'symbol', 'hour_start', 'horizon_bars'], partitioned_by=['trade_date']) }}

{#- a label looks ahead: what changes on a day changes the labels of the days before -#}
{%- set reach = var('label_days') %}
{%- set written = widened(changed_days(), back=reach) %}
{%- set horizons = [1, 4, 24] %}

with ordered as (
    select
        symbol,
        asset_class,
        trade_date,
        hour_start,
        available_at,
        {%- for n in horizons %}
        lead(hour_start, {{ n }}) over of_symbol <= date_add('day', {{ reach }}, hour_start)
            as has_{{ n }}_ahead,
        lead(available_at, {{ n }}) over of_symbol as available_at_{{ n }},
        lead(close_price, {{ n }}) over of_symbol as close_price_{{ n }},
        {%- endfor %}
        close_price
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', widened(written, forward=reach)) }}
    window of_symbol as (partition by symbol order by hour_start)
),

labels as (
    {%- for n in horizons %}
    select
        symbol,
        asset_class,
        trade_date,
        hour_start,
        {{ n }} as horizon_bars,
        available_at as decision_at,
        if(has_{{ n }}_ahead, close_price_{{ n }} / close_price - 1) as forward_return,
        if(has_{{ n }}_ahead, available_at_{{ n }}) as label_end_at
    from ordered
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

purged as (
    select
        *,
        max(label_end_at) over (partition by symbol, hour_start) as purge_until
    from labels
    where {{ within_days('trade_date', written) }}
),

made as (
    select
        symbol,
        asset_class,
        trade_date,
        hour_start,
        horizon_bars,
        decision_at,
        forward_return,
        cast(sign(forward_return) as integer) as direction,
        label_end_at,
        purge_until,
        date_add('hour', {{ var('embargo_hours') }}, purge_until) as embargo_until
    from purged
)

{{ made_or_vanished('made', written) }}
