select
    symbol,
    avg(price) as price,
    '{{ var("start_hour") }}' as start_hour,
    '{{ var("end_hour") }}' as end_hour
from {{ ref('stg_bars') }}
group by symbol
