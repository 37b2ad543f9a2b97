{#
  The age of a source's newest bar. Now is FIN_LAKE_NOW where that is set (a recorded market stands
  still); and only the last ten days are read, the longest that any source may be stale, since a scan of
  every hour to find the last would cost more than it tells.
#}
{% macro athena__collect_freshness(source, loaded_at_field, filter) %}
  {%- set utc = modules.pytz.utc -%}
  {%- set frozen = env_var('FIN_LAKE_NOW', '') -%}
  {%- set now = modules.datetime.datetime.fromisoformat(frozen).astimezone(utc) if frozen
      else modules.datetime.datetime.now(utc) -%}
  {%- set recent = {'first': (now - modules.datetime.timedelta(days=10)).date(), 'end': none} -%}
  {% call statement('collect_freshness', fetch_result=True, auto_begin=False) -%}
    select
      max({{ loaded_at_field }}) as max_loaded_at,
      timestamp '{{ now.strftime('%Y-%m-%d %H:%M:%S') }}' as snapshotted_at
    from {{ source }}
    where {{ within_partitions(recent) }}
    {%- if filter %} and ({{ filter }}){% endif %}
  {%- endcall %}
  {{ return(load_result('collect_freshness')) }}
{% endmacro %}
