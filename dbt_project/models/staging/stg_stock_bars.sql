select
    symbol,
    cast('stocks' as varchar) as asset_class,
    "timestamp" as bar_start,
    "interval" as bar_interval,
    {{ interval_minutes('"interval"') }} as bar_minutes,
    open_price,
    high_price,
    low_price,
    close_price,
    volume,
    source,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'processed_stocks') }}
