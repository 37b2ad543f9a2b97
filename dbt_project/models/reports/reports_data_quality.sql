{{ config(unique_key=['trade_date', 'asset_class'], partitioned_by=['month(trade_date)']) }}

{%- set written = changed_days() %}

with raw_bars as (
    select
        cast(raw_hour as date) as trade_date,
        asset_class,
        symbol,
        bar_interval,
        bar_start,
        count(*) as records,
        array_agg(distinct source) filter (where source is not null) as sources
    from {{ ref('stg_raw_bars') }}
    where
        {{ within_partitions(written) }}
        and coalesce(kind, 'bar') = 'bar'
    group by cast(raw_hour as date), asset_class, symbol, bar_interval, bar_start
),

raw_days as (
    select
        trade_date,
        asset_class,
        sum(records) as raw_records,
        count(*) as raw_bars,
        array_join(array_sort(array_distinct(flatten(array_agg(sources)))), ', ') as sources
    from raw_bars
    group by trade_date, asset_class
),

processed_days as (
    select
        trade_date,
        asset_class,
        count(distinct symbol) as symbol_count,
        sum(bar_count) as processed_rows,
        count(distinct hour_start) as hours_with_data,
        max(last_bar_at) as last_bar_at
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', written) }}
    group by trade_date, asset_class
),

broken_rules as (
    select
        cast(raw_hour as date) as trade_date,
        asset_class,
        rule,
        count(*) as records
    from {{ ref('stg_quarantine') }}
    where {{ within_partitions(written) }}
    group by cast(raw_hour as date), asset_class, rule
),

quarantine_days as (
    select
        trade_date,
        asset_class,
        sum(records) as quarantined_rows,
        -- text, since few readers of reports know maps
        '{' || array_join(
            array_agg('"' || rule || '": ' || cast(records as varchar) order by rule), ', '
        ) || '}' as quarantined_by_rule
    from broken_rules
    group by trade_date, asset_class
),

compared_days as (
    select
        trade_date,
        asset_class,
        count(*) as compared_bars,
        count_if(is_flagged) as flagged_bars,
        max(abs(difference_bps)) as largest_difference_bps
    from {{ ref('aggregations_cross_source_differences') }}
    where {{ within_days('trade_date', written) }}
    group by trade_date, asset_class
),

days as (
    select
        trade_date,
        asset_class
    from raw_days
    union
    select
        trade_date,
        asset_class
    from processed_days
    union
    select
        trade_date,
        asset_class
    from quarantine_days
),

made as (
    select
        days.trade_date,
        days.asset_class,
        coalesce(raw_days.raw_records, 0) as raw_records,
        coalesce(raw_days.raw_bars, 0) as raw_bars,
        coalesce(raw_days.sources, '') as sources,
        coalesce(processed_days.processed_rows, 0) as processed_rows,
        coalesce(processed_days.symbol_count, 0) as symbol_count,
        coalesce(quarantine_days.quarantined_rows, 0) as quarantined_rows,
        quarantine_days.quarantined_by_rule,
        coalesce(compared_days.compared_bars, 0) as compared_bars,
        coalesce(compared_days.flagged_bars, 0) as flagged_bars,
        compared_days.largest_difference_bps,
        coalesce(processed_days.hours_with_data, 0) as hours_with_data,
        processed_days.last_bar_at
    from days
    left join raw_days
        on days.trade_date = raw_days.trade_date and days.asset_class = raw_days.asset_class
    left join processed_days
        on days.trade_date = processed_days.trade_date and days.asset_class = processed_days.asset_class
    left join quarantine_days
        on days.trade_date = quarantine_days.trade_date and days.asset_class = quarantine_days.asset_class
    left join compared_days
        on days.trade_date = compared_days.trade_date and days.asset_class = compared_days.asset_class
)

{{ made_or_vanished('made', written) }}
