{%- for asset_class in ['stocks', 'crypto'] %}
select
    kind,
    symbol,
    cast('{{ asset_class }}' as varchar) as asset_class,
    {{ utc_timestamp('"timestamp"') }} as bar_start,
    "interval" as bar_interval,
    open_price,
    high_price,
    low_price,
    close_price,
    volume,
    volume_24h,
    source,
    {{ utc_timestamp('fetched_at') }} as fetched_at,
    finished as is_finished,
    sampled as is_sampled,
    split_factor,
    payload,
    schema_version,
    try(date_parse(year || month || day || hour, '%Y%m%d%H')) as raw_hour,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'raw_' ~ asset_class) }}
{% if not loop.last %}union all{% endif %}
{%- endfor %}
