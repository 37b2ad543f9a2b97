select count(*) as symbols, max(start_hour) as start_hour, max(end_hour) as end_hour
from {{ ref('aggregations_daily') }}
