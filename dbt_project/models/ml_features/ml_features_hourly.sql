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

analysis as (
    select *
    from {{ ref('stg_technical_analysis') }}
    where {{ within_partitions(written) }}
),

-- without a unit, so that symbols can be compared
made as (
    select
        features.*,
        analysis.rsi_14,
        analysis.stochastic_k,
        analysis.stochastic_d,
        analysis.adx_14,
        analysis.macd_histogram / features.close_price as macd_histogram_ratio,
        (features.close_price - analysis.bollinger_lower)
        / nullif(analysis.bollinger_upper - analysis.bollinger_lower, 0) as bollinger_position,
        analysis.atr_14 / features.close_price as atr_ratio,
        features.close_price / analysis.sma_50 - 1 as distance_from_sma_50,
        features.close_price / analysis.vwap - 1 as distance_from_vwap
    from features
    left join analysis
        on
            features.symbol = analysis.symbol
            and features.asset_class = analysis.asset_class
            and features.hour_start = analysis.hour_start
    where {{ within_days('features.trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
