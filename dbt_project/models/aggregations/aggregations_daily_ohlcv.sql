{{ config(unique_key=['trade_date', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set written = changed_days() %}

with made as (
    select
        symbol,
        asset_class,
        trade_date,
        min_by(open_price, hour_start) as open_price,
        max(high_price) as high_price,
        min(low_price) as low_price,
        max_by(close_price, hour_start) as close_price,
        sum(volume) as volume,
        sum(turnover) as turnover,
        sum(turnover) / nullif(sum(volume), 0) as vwap,
        count(*) as hour_count,
        sum(bar_count) as bar_count,
        count_if(is_sampled) as sampled_hour_count,
        min(first_bar_at) as first_bar_at,
        max(last_bar_at) as last_bar_at,
        max(available_at) as available_at
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', written) }}
    group by symbol, asset_class, trade_date
)

{{ made_or_vanished('made', written) }}
