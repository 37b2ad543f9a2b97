{{ config(unique_key=['trade_date', 'symbol', 'hour_start'], partitioned_by=['trade_date']) }}

{%- set written = changed_days() %}

with made as (
    select
        symbol,
        asset_class,
        trade_date,
        cast(hour_start as timestamp(6)) as hour_start,
        bar_interval,
        open_price,
        high_price,
        low_price,
        close_price,
        volume,
        turnover,
        vwap,
        bar_count,
        covered_minutes,
        is_sampled,
        source,
        cast(first_bar_at as timestamp(6)) as first_bar_at,
        cast(last_bar_at as timestamp(6)) as last_bar_at,
        cast(available_at as timestamp(6)) as available_at
    from {{ ref('stg_hourly_bars') }}
    where {{ within_partitions(written) }}
)

{{ made_or_vanished('made', written) }}
