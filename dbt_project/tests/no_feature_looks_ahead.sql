-- Features computed when the future had not come yet are the features stored now. The day is cut at
-- 17:00 UTC, in the midst of a session; what a feature needs from before lies within var feature_days.
{%- set features = ref('ml_features_hourly') %}
{%- set on_the_day = tested_day(features) %}
{%- set cut = "timestamp '" ~ on_the_day.first ~ " 17:00:00'" %}

with bars as (
    select *
    from {{ ref('aggregations_hourly_ohlcv') }}
    where
        {{ within_days('trade_date', widened(on_the_day, back=var('feature_days'))) }}
        and available_at <= {{ cut }}
),

then_known as (
    {{ hourly_features('bars') | indent }}
),

stored as (
    select *
    from {{ features }}
    where
        {{ within_days('trade_date', on_the_day) }}
        and available_at <= {{ cut }}
)

select
    stored.symbol,
    stored.hour_start
from stored
left join then_known on stored.symbol = then_known.symbol and stored.hour_start = then_known.hour_start
where
    then_known.symbol is null
{#- indicators come with their hour, from bars up to it #}
{%- for name in column_names(features) if name not in indicator_features() %}
    {%- set is, was = 'stored.' ~ name, 'then_known.' ~ name %}
    {%- if name.startswith(('return_', 'log_return', 'distance_', 'volume_')) %}
    or ({{ is }} is null) <> ({{ was }} is null)
    or abs({{ is }} - {{ was }}) > 1e-9 * (1 + abs({{ was }}))
    {%- else %}
    or {{ is }} is distinct from {{ was }}
    {%- endif %}
{%- endfor %}
