-- A day is its hours, and a week its days: counts, volumes and extremes agree.
with hours as (
    select
        trade_date,
        symbol,
        count(*) as parts,
        sum(bar_count) as bars,
        sum(volume) as volume,
        max(high_price) as high_price,
        min(low_price) as low_price
    from {{ ref('aggregations_hourly_ohlcv') }}
    where {{ within_days('trade_date', whole_weeks(tested_days())) }}
    group by trade_date, symbol
),

daily as (
    select *
    from {{ ref('aggregations_daily_ohlcv') }}
    where {{ within_days('trade_date', whole_weeks(tested_days())) }}
),

weeks as (
    select
        cast(date_trunc('week', trade_date) as date) as week_start,
        symbol,
        count(*) as parts,
        sum(bar_count) as bars,
        sum(volume) as volume,
        max(high_price) as high_price,
        min(low_price) as low_price
    from daily
    group by cast(date_trunc('week', trade_date) as date), symbol
),

weekly as (
    select *
    from {{ ref('aggregations_weekly_ohlcv') }}
    where {{ within_days('week_start', whole_weeks(tested_days())) }}
),

compared as (
    {%- for whole, parts, day, count in [
        ('daily', 'hours', 'trade_date', 'hour_count'),
        ('weekly', 'weeks', 'week_start', 'day_count'),
    ] %}
    select
        '{{ whole }}' as grain,
        coalesce(whole.symbol, parts.symbol) as symbol,
        coalesce(whole.{{ day }}, parts.{{ day }}) as first_day,
        whole.{{ count }} = parts.parts
        and whole.bar_count = parts.bars
        and whole.high_price = parts.high_price
        and whole.low_price = parts.low_price as is_whole,
        (whole.volume is null) = (parts.volume is null)
        and coalesce(abs(whole.volume - parts.volume) <= 1e-9 * parts.volume, true) as has_all_volume
    from {{ whole }} as whole
    full outer join {{ parts }} as parts on whole.{{ day }} = parts.{{ day }} and whole.symbol = parts.symbol
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
)

select *
from compared
where not coalesce(is_whole and has_all_volume, false)
