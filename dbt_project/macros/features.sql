{#
  The hourly features of `bars`, the name of hourly bars ordered by nothing. A macro, so that the test
  no_feature_looks_ahead can compute them from bars that were cut off.

  Every window is of the symbol's bars, the bar itself included, and null until it is full, and null
  if its oldest bar started over var feature_days before the bar.
#}
{% macro hourly_features(bars) %}
{%- set bars_before = [1, 2, 3, 4, 5, 6, 23, 24] %}
with ordered as (
    select
        *,
        {%- for n in bars_before %}
        lag(hour_start, {{ n }}) over of_symbol >= date_add('day', -{{ var('feature_days') }}, hour_start)
            as has_{{ n }}_before,
        {%- endfor %}
        ln(close_price / lag(close_price) over of_symbol) as return_since_any,
        min(first_bar_at) over of_day as day_opened_at,
        count(*) over of_day as hours_of_day
    from {{ bars }}
    window
        of_symbol as (partition by symbol order by hour_start),
        of_day as (
            partition by symbol, trade_date order by hour_start rows between unbounded preceding and current row
        )
),

returned as (
    select
        *,
        if(has_1_before, return_since_any) as log_return
    from ordered
)

select
    symbol,
    asset_class,
    trade_date,
    hour_start,
    available_at,
    close_price,
    log_return,
    {%- for n in [1, 2, 3] %}
    if(has_{{ n + 1 }}_before, lag(log_return, {{ n }}) over of_symbol) as log_return_lag_{{ n }},
    {%- endfor %}
    {%- for n in [6, 24] %}
    if(has_{{ n }}_before, avg(log_return) over last_{{ n }}) as return_mean_{{ n }},
    if(has_{{ n }}_before, stddev_samp(log_return) over last_{{ n }}) as return_std_{{ n }},
    if(has_{{ n }}_before, min(log_return) over last_{{ n }}) as return_min_{{ n }},
    if(has_{{ n }}_before, max(log_return) over last_{{ n }}) as return_max_{{ n }},
    if(has_{{ n - 1 }}_before, close_price / avg(close_price) over last_{{ n }} - 1) as distance_from_mean_{{ n }},
    {%- endfor %}
    if(
        has_23_before and count(volume) over last_24 = 24,
        (volume - avg(volume) over last_24) / nullif(stddev_samp(volume) over last_24, 0)
    ) as volume_zscore_24,
    hours_of_day as hour_of_session,
    date_diff('minute', day_opened_at, available_at) as minutes_since_open,
    day_of_week(trade_date) as day_of_week,
    -- by the clock, which is known beforehand; the day's last bar is known only afterwards
    case asset_class
        when 'stocks' then hour(at_timezone(with_timezone(available_at, 'UTC'), 'America/New_York')) = 16
        else hour(hour_start) = 23
    end as is_last_hour
from returned
window
    of_symbol as (partition by symbol order by hour_start),
    last_6 as (partition by symbol order by hour_start rows between 5 preceding and current row),
    last_24 as (partition by symbol order by hour_start rows between 23 preceding and current row)
{%- endmacro %}

{# The features that come from the technical indicators of the same bar. #}
{% macro indicator_features() %}
  {{ return([
    'rsi_14', 'stochastic_k', 'stochastic_d', 'adx_14', 'macd_histogram_ratio', 'bollinger_position',
    'atr_ratio', 'distance_from_sma_50', 'distance_from_vwap',
  ]) }}
{% endmacro %}
