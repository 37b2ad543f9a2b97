{# The length in minutes of a bar, by the text that names it. #}
{% macro interval_minutes(column) -%}
    case {{ column }}
        when '1min' then 1
        when '5min' then 5
        when '15min' then 15
        when '30min' then 30
        when '1h' then 60
    end
{%- endmacro %}

{# The moment of an ISO 8601 text in UTC, to the millisecond; null for any other text. #}
{% macro utc_timestamp(column) -%}
    cast(at_timezone(try(from_iso8601_timestamp({{ column }})), 'UTC') as timestamp)
{%- endmacro %}

{# How many daily returns a year has, for annualising. #}
{% macro days_per_year(asset_class) -%}
    case {{ asset_class }} when 'crypto' then 365 else 252 end
{%- endmacro %}
