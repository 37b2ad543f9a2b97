{%- for asset_class in ['stocks', 'crypto'] %}
select
    rule,
    detail,
    symbol,
    cast('{{ asset_class }}' as varchar) as asset_class,
    "timestamp" as bar_start,
    "interval" as bar_interval,
    open_price,
    high_price,
    low_price,
    close_price,
    volume,
    volume_24h,
    source,
    fetched_at,
    finished as is_finished,
    sampled as is_sampled,
    split_factor,
    payload,
    raw_key,
    raw_hour,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'quarantine_' ~ asset_class) }}
{% if not loop.last %}union all{% endif %}
{%- endfor %}
