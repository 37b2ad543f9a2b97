-- The one place where hourly bars are made of the bars that the sources sent. The partition columns
-- stay keys throughout, so that a reader's condition on them reaches the files.
with bars as (
    {%- for asset_class in ['stock', 'crypto'] %}
    select
        symbol,
        asset_class,
        bar_start,
        bar_interval,
        bar_minutes,
        open_price,
        high_price,
        low_price,
        close_price,
        cast(volume as double) as volume,
        {{ 'is_sampled' if asset_class == 'crypto' else 'false as is_sampled' }},
        source,
        year,
        month,
        day,
        hour
    from {{ ref('stg_' ~ asset_class ~ '_bars') }}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

by_interval as (
    select
        symbol,
        asset_class,
        bar_interval,
        year,
        month,
        day,
        hour,
        date_trunc('hour', min(bar_start)) as hour_start,
        min_by(open_price, bar_start) as open_price,
        max(high_price) as high_price,
        min(low_price) as low_price,
        max_by(close_price, bar_start) as close_price,
        sum(volume) as volume,
        sum((high_price + low_price + close_price) / 3 * volume) as turnover,
        count(*) as bar_count,
        sum(bar_minutes) as covered_minutes,
        max(bar_minutes) as bar_minutes,
        bool_and(is_sampled) as is_sampled,
        max_by(source, bar_start) as source,
        min(bar_start) as first_bar_at,
        max(bar_start) as last_bar_at,
        max(date_add('minute', bar_minutes, bar_start)) as last_bar_end
    from bars
    group by symbol, asset_class, bar_interval, year, month, day, hour
),

-- an hour that is stored in two intervals counts once: bars of trades go before samples, the fuller
-- before the emptier, the finer before the coarser
ranked as (
    select
        *,
        row_number() over (
            partition by symbol, asset_class, year, month, day, hour
            order by is_sampled asc, covered_minutes desc, bar_minutes asc
        ) as choice
    from by_interval
)

select
    symbol,
    asset_class,
    cast(hour_start as date) as trade_date,
    hour_start,
    bar_interval,
    open_price,
    high_price,
    low_price,
    close_price,
    volume,
    turnover,
    turnover / nullif(volume, 0) as vwap,
    bar_count,
    covered_minutes,
    is_sampled,
    source,
    first_bar_at,
    last_bar_at,
    greatest(last_bar_end, date_add('hour', 1, hour_start)) as available_at,
    year,
    month,
    day,
    hour
from ranked
where choice = 1
