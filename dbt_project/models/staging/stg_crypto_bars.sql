select
    symbol,
    cast('crypto' as varchar) as asset_class,
    "timestamp" as bar_start,
    "interval" as bar_interval,
    {{ interval_minutes('"interval"') }} as bar_minutes,
    open_price,
    high_price,
    low_price,
    close_price,
    volume,
    volume_24h,
    sampled as is_sampled,
    source,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'processed_crypto') }}
