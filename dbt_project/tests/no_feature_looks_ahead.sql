-- Features computed when the future had not come yet are the features stored now. The day is cut at
-- 17:00 UTC, in the midst of a session; what a feature needs from before lies within var feature_days.
{%- set features = ref('ml_features_hourly') %}
{%- set days = tested_days() %}
{%- set one_day = modules.datetime.timedelta(days=1) %}
{%- set day = (days.end - one_day if days.end is not none else last_day(features)) if execute else none %}
{%- set on_the_day = {'first': day, 'end': day + one_day if day else none} %}
{%- set cut = "timestamp '" ~ day ~ " 17:00:00'" %}

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
    {%- for column in adapter.get_columns_in_relation(features) %}
    {%- set is, was = 'stored.' ~ column.name, 'then_known.' ~ column.name %}
    or {% if column.data_type == 'double' -%}
    coalesce(abs({{ is }} - {{ was }}) > 1e-9 * (1 + abs({{ was }})), ({{ is }} is null) <> ({{ was }} is null))
    {%- else -%}
    {{ is }} is distinct from {{ was }}
    {%- endif %}
    {%- endfor %}
