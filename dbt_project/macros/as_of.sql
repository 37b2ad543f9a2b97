{#
  Which of a source's attempts at a bar counts.

  latest_attempts gives, for each symbol, bar_interval, bar_start and source, the record of stg_raw_bars
  that was fetched last, of those that are sound: bars that had ended, with positive prices that agree
  with each other, in the object of their own hour. An answer in which a bar is broken does not take an
  earlier one away. `condition` says which records are looked at; name partitions in it (within_partitions),
  or every hour is read.
#}
{% macro latest_attempts(condition) %}
select *
from (
    select
        *,
        row_number() over (
            partition by asset_class, symbol, bar_interval, bar_start, source
            order by fetched_at desc, close_price desc
        ) as attempt
    from {{ ref('stg_raw_bars') }}
    where
        {{ condition }}
        and kind = 'bar'
        and open_price > 0
        and close_price > 0
        and low_price > 0
        and high_price >= greatest(open_price, close_price)
        and low_price <= least(open_price, close_price)
        and coalesce(is_finished, true)
        -- a stray copy in another hour's object belongs to no hour
        and date_trunc('hour', bar_start) = raw_hour
)
where attempt = 1
{%- endmacro %}

{#
  The bars of an asset class as each source had sent them by a moment: the latest sound attempt whose
  answer had arrived. To train on what could be known, and not on what was revised later.

  moment is UTC text, 'YYYY-MM-DD HH:MM:SS', by the wall clock at which answers arrive (fetched_at). days
  is a range {first, end} of dates (days_between), the end excluded; without it every hour is read.

      select * from (bars_as_of('stocks', '2025-01-03 18:00:00', days_between('2025-01-01', '2025-01-04')))

  Prices and volumes are as traded by the factor that the source told. Which source is preferred, and
  whether one rewrote its history without telling, is left to `fin-lake as-of`, which cleans anew.
#}
{% macro bars_as_of(asset_class, moment, days=none) %}
  {%- if asset_class not in ['stocks', 'crypto'] -%}
    {{ exceptions.raise_compiler_error("bars_as_of: " ~ asset_class ~ " is neither stocks nor crypto") }}
  {%- endif -%}
  {%- if not modules.re.match('^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$', moment | string) -%}
    {{ exceptions.raise_compiler_error("bars_as_of: the moment must be UTC, 'YYYY-MM-DD HH:MM:SS'; it is '" ~ moment ~ "'") }}
  {%- endif -%}
  {%- set condition -%}
    {{ within_partitions(days or {'first': none, 'end': none}) }}
        and asset_class = '{{ asset_class }}'
        and fetched_at <= timestamp '{{ moment }}'
  {%- endset -%}
select
    symbol,
    asset_class,
    bar_interval,
    bar_start,
    source,
    fetched_at,
    {%- for price in ['open_price', 'high_price', 'low_price', 'close_price'] %}
    {{ price }} * coalesce(split_factor, 1) as {{ price }},
    {%- endfor %}
    volume / coalesce(split_factor, 1) as volume,
    volume_24h,
    coalesce(is_sampled, false) as is_sampled,
    year,
    month,
    day,
    hour
from ({{ latest_attempts(condition) }})
{%- endmacro %}
