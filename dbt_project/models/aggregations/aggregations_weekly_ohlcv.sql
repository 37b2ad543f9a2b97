{{ config(unique_key=['week_start', 'symbol'], partitioned_by=['year(week_start)']) }}

{%- set written = whole_weeks(changed_days('week_start')) %}

with daily as (
    select
        *,
        cast(date_trunc('week', trade_date) as date) as week_start
    from {{ ref('aggregations_daily_ohlcv') }}
    where {{ within_days('trade_date', written) }}
),

made as (
    select
        symbol,
        asset_class,
        week_start,
        year_of_week(week_start) as iso_year,
        week(week_start) as iso_week,
        min_by(open_price, trade_date) as open_price,
        max(high_price) as high_price,
        min(low_price) as low_price,
        max_by(close_price, trade_date) as close_price,
        sum(volume) as volume,
        sum(turnover) as turnover,
        sum(turnover) / nullif(sum(volume), 0) as vwap,
        count(*) as day_count,
        sum(bar_count) as bar_count,
        min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date
    from daily
    group by symbol, asset_class, week_start
)

{{ made_or_vanished('made', written, 'week_start') }}
