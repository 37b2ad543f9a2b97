{#
  Which days a build computes.

  The unit is the UTC day. An hour's bars lie in one day's partitions, sessions of stocks lie within
  one UTC day, and tables are merged by day: to count hours would save nothing and blur what is whole.

  A range is a mapping {first, end} of dates, the end excluded; none means without a bound. A model says

      changed = changed_days()                     days whose bars may differ from what was last read
      written = widened(changed, forward=10)       days whose rows depend on those: they are computed
      read    = widened(written, back=10)          days that the rows to write are computed from

  so every row that a changed bar can change is computed again, from all that it depends on. The
  reach is exact, not a guess: a model makes null what would reach farther (vars in dbt_project.yml).
  Any sequence of incremental builds therefore ends in the table that a full refresh would make.
#}

{# The days that differ from the last build: those of start_hour and end_hour; without them, from
   lookback_days before the last day of this table; everything on a first build or a full refresh. #}
{% macro changed_days(day_column='trade_date') %}
  {% if not execute or not is_incremental() %}
    {{ return({'first': none, 'end': none}) }}
  {% endif %}
  {% if var('start_hour') is not none or var('end_hour') is not none %}
    {{ return(days_of_hours(var('start_hour'), var('end_hour'))) }}
  {% endif %}
  {% set held = last_day(this, day_column) %}
  {% if held is none %}
    {{ return({'first': none, 'end': none}) }}
  {% endif %}
  {{ return({'first': held - modules.datetime.timedelta(days=var('lookback_days')), 'end': none}) }}
{% endmacro %}

{# The last day that a table holds, or none. A query of its own, for a literal: Athena does not prune
   projected partitions by the result of a subquery. #}
{% macro last_day(relation, day_column='trade_date') %}
  {% set held = run_query('select max(' ~ day_column ~ ') as last_day from ' ~ relation).columns[0].values()[0] %}
  {{ return(modules.datetime.date.fromisoformat(held | string) if held is not none else none) }}
{% endmacro %}

{# The range from one day to another, the latter excluded; days are text or none. #}
{% macro days_between(first, end) %}
  {{ return({
    'first': modules.datetime.date.fromisoformat(first) if first is not none else none,
    'end': modules.datetime.date.fromisoformat(end) if end is not none else none,
  }) }}
{% endmacro %}

{# The days that the hours from start_hour to end_hour, excluded, touch. #}
{% macro days_of_hours(start_hour, end_hour) %}
  {% if start_hour is none %}
    {{ exceptions.raise_compiler_error("end_hour without start_hour: give both, or start_hour alone") }}
  {% endif %}
  {% set start = utc_hour('start_hour', start_hour) %}
  {% if end_hour is none %}
    {{ return({'first': start.date(), 'end': none}) }}
  {% endif %}
  {% set end = utc_hour('end_hour', end_hour) %}
  {% if end <= start %}
    {{ exceptions.raise_compiler_error("no hour from " ~ start_hour ~ " to " ~ end_hour ~ ": the end is excluded") }}
  {% endif %}
  {% set last = end - modules.datetime.timedelta(microseconds=1) %}
  {{ return({'first': start.date(), 'end': last.date() + modules.datetime.timedelta(days=1)}) }}
{% endmacro %}

{% macro utc_hour(name, text) %}
  {% if not modules.re.match('^\d{4}-\d\d-\d\d \d\d:00:00$', text | string) %}
    {{ exceptions.raise_compiler_error(name ~ " must be a whole UTC hour, 'YYYY-MM-DD HH:00:00'; it is '" ~ text ~ "'") }}
  {% endif %}
  {{ return(modules.datetime.datetime.strptime(text | string, '%Y-%m-%d %H:%M:%S')) }}
{% endmacro %}

{# The range with days added before and after it. #}
{% macro widened(days, back=0, forward=0) %}
  {{ return({
    'first': days.first - modules.datetime.timedelta(days=back) if days.first is not none else none,
    'end': days.end + modules.datetime.timedelta(days=forward) if days.end is not none else none,
  }) }}
{% endmacro %}

{# The range with its weeks completed, from Monday to Sunday. #}
{% macro whole_weeks(days) %}
  {{ return(widened(
    days,
    back=days.first.weekday() if days.first is not none else 0,
    forward=-days.end.weekday() % 7 if days.end is not none else 0,
  )) }}
{% endmacro %}

{# The condition that a date column lies in the range. #}
{% macro within_days(column, days) %}
  {%- set bounds = [] -%}
  {%- if days.first is not none %}{% do bounds.append(column ~ " >= date '" ~ days.first ~ "'") %}{% endif -%}
  {%- if days.end is not none %}{% do bounds.append(column ~ " < date '" ~ days.end ~ "'") %}{% endif -%}
  {{- bounds | join(' and ') or 'true' -}}
{% endmacro %}

{#
  The condition that the partition columns year, month, day (text) lie in the range.

  Athena prunes by whatever it can decide from partition columns alone, so the text year || month ||
  day, whose order is the calendar's, states the range exactly. But projection first enumerates the
  values that comparisons of single columns leave, every hour of every year if there are none: hence
  the bounds of the year, and of the month and day where the range stays within a year or a month.
#}
{% macro within_partitions(days) %}
  {%- if days.first is none and days.end is none -%}
    true
  {%- elif days.end is none -%}
    year >= '{{ days.first.strftime('%Y') }}' and year || month || day >= '{{ days.first.strftime('%Y%m%d') }}'
  {%- else -%}
    {%- set last = days.end - modules.datetime.timedelta(days=1) -%}
    {%- set bounds = ["year between '" ~ days.first.strftime('%Y') ~ "' and '" ~ last.strftime('%Y') ~ "'"] -%}
    {%- if days.first.year == last.year -%}
      {%- do bounds.append("month between '" ~ days.first.strftime('%m') ~ "' and '" ~ last.strftime('%m') ~ "'") -%}
      {%- if days.first.month == last.month -%}
        {%- do bounds.append("day between '" ~ days.first.strftime('%d') ~ "' and '" ~ last.strftime('%d') ~ "'") -%}
      {%- endif -%}
    {%- endif -%}
    {%- do bounds.append("year || month || day between '" ~ days.first.strftime('%Y%m%d') ~ "' and '" ~ last.strftime('%Y%m%d') ~ "'") -%}
    {{ bounds | join(' and ') }}
  {%- endif -%}
{% endmacro %}

{# The days that a data test looks at: those of start_hour and end_hour, or all. #}
{% macro tested_days() %}
  {% if var('start_hour') is none and var('end_hour') is none %}
    {{ return({'first': none, 'end': none}) }}
  {% endif %}
  {{ return(days_of_hours(var('start_hour'), var('end_hour'))) }}
{% endmacro %}

{# A single day for a data test that cannot look at many: the last of the range, or the last held. #}
{% macro tested_day(relation) %}
  {% set end = tested_days().end %}
  {% if end is not none %}
    {{ return({'first': end - modules.datetime.timedelta(days=1), 'end': end}) }}
  {% endif %}
  {% set held = last_day(relation) if execute else none %}
  {{ return({'first': held, 'end': held + modules.datetime.timedelta(days=1) if held is not none else none}) }}
{% endmacro %}
