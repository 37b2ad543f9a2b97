-- What is made of daily bars has a row for each of them, and what is made of hourly bars for each of
-- those: no row is missing, and none is left of bars that are gone.
with counted as (
    {%- for kind, table, rows_per_bar in [
        ('hour', 'aggregations_hourly_ohlcv', 1),
        ('hour', 'ml_features_hourly', 1),
        ('hour', 'ml_features_labels', 3),
        ('day', 'aggregations_daily_ohlcv', 1),
        ('day', 'aggregations_daily_returns', 1),
        ('day', 'aggregations_volatility', 1),
    ] %}
    select
        '{{ kind }}' as kind,
        '{{ table }}' as held_in,
        trade_date,
        symbol,
        count(*) / {{ rows_per_bar }}e0 as bars
    from {{ ref(table) }}
    where {{ within_days('trade_date', tested_days()) }}
    group by trade_date, symbol
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
)

select
    kind,
    trade_date,
    symbol,
    array_agg(held_in) as tables_with_rows
from counted
group by kind, trade_date, symbol
having min(bars) <> max(bars) or count(*) <> 3
