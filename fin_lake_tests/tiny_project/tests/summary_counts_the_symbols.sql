select reports.symbols
from {{ ref('reports_summary') }} as reports
cross join (select count(*) as symbols from {{ ref('aggregations_daily') }}) as daily
where reports.symbols <> daily.symbols
