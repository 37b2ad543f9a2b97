-- depends_on: {{ source('processed', 'stocks') }}
select symbol, price
from (values ('AAPL', 1.0), ('MSFT', 2.0), ('IBM', 3.0)) as bars (symbol, price)
