{{ config(
    unique_key=['trade_date', 'symbol', 'bar_interval', 'bar_start', 'source_a', 'source_b'],
    partitioned_by=['month(trade_date)'],
) }}

{%- set written = changed_days() %}

with latest as (
    select
        symbol,
        asset_class,
        bar_interval,
        bar_start,
        source,
        close_price * coalesce(split_factor, 1) as close_price
    from ({{ latest_attempts(within_partitions(written)) }})
),

made as (
    select
        a.symbol,
        a.asset_class,
        cast(a.bar_start as date) as trade_date,
        a.bar_interval,
        cast(a.bar_start as timestamp(6)) as bar_start,
        a.source as source_a,
        b.source as source_b,
        a.close_price as close_price_a,
        b.close_price as close_price_b,
        (b.close_price / a.close_price - 1) * 10000 as difference_bps,
        abs(b.close_price / a.close_price - 1) * 10000 > {{ var('cross_source_tolerance_bps') }} as is_flagged
    from latest as a
    inner join latest as b
        on
            a.symbol = b.symbol
            and a.bar_interval = b.bar_interval
            and a.bar_start = b.bar_start
            and a.source < b.source
)

{{ made_or_vanished('made', written) }}
