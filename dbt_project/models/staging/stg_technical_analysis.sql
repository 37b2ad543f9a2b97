{%- for asset_class in ['stocks', 'crypto'] %}
select
    symbol,
    asset_class,
    "timestamp" as hour_start,
    close_price,
    sma_20,
    sma_50,
    ema_12,
    ema_26,
    rsi_14,
    macd,
    macd_signal,
    macd_histogram,
    bollinger_upper,
    bollinger_middle,
    bollinger_lower,
    atr_14,
    vwap,
    obv,
    stochastic_k,
    stochastic_d,
    adx_14,
    volatility_24,
    history_bars,
    year,
    month,
    day,
    hour
from {{ source('fin_lake', 'technical_analysis_' ~ asset_class) }}
{% if not loop.last %}union all{% endif %}
{%- endfor %}
