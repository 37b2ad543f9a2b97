{{ config(unique_key=['trade_date', 'symbol', 'hour_start'], partitioned_by=['trade_date']) }}

{%- set reach = var('feature_days') %}
{%- set written = widened(changed_days(), forward=reach) %}

with bars as (
    select *
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', widened(written, back=reach)) }}
),

features as (
    {{ hourly_features('bars') | indent }}
),

made as (
    select *
    from features
    where {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
