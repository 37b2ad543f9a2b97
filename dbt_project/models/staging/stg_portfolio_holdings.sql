select
    portfolio,
    "timestamp" as hour_start,
    symbol,
    units,
    price,
    price_at,
    price_age_hours,
    market_value,
    weight,
    contribution,
    cumulative_contribution,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'portfolio_holdings') }}
