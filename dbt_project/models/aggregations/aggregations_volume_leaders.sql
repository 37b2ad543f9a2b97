{{ config(unique_key=['trade_date', 'symbol'], partitioned_by=['month(trade_date)']) }}

{%- set written = changed_days() %}

with made as (
    select
        symbol,
        asset_class,
        trade_date,
        volume,
        turnover,
        row_number() over (partition by trade_date, asset_class order by volume desc, symbol asc)
            as volume_rank,
        row_number() over (partition by trade_date, asset_class order by turnover desc, symbol asc)
            as turnover_rank,
        volume / nullif(sum(volume) over (partition by trade_date, asset_class), 0) as volume_share,
        turnover / nullif(sum(turnover) over (partition by trade_date, asset_class), 0) as turnover_share
    from {{ ref('aggregations_daily_ohlcv') }}
    where
        volume is not null
        and {{ within_days('trade_date', written) }}
)

{{ made_or_vanished('made', written) }}
