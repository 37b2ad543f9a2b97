{#
  Holds if every row of the model keeps the constraints that its YAML declares, and every column is
  described, constrained and there. (Raw and quarantined records may hold anything: every_column=false.) Athena enforces no constraint; one statement per model checks them
  all, where a test per column would ask a hundred questions of the same rows.

  As in SQL, a check that is null is kept: a nullable column's check speaks of its values.
#}
{% test valid_rows(model, day_column='trade_date', partitioned_by_hour=false, every_column=true) %}
{%- set rules = [] -%}
{%- set key = [] -%}
{%- if execute -%}
  {%- set node = graph.nodes.values()
      | selectattr('resource_type', 'equalto', 'model')
      | selectattr('alias', 'equalto', model.identifier) | first -%}
  {%- for constraint in node.constraints -%}
    {%- if constraint.type == 'primary_key' %}{% do key.extend(constraint.columns) %}{% endif -%}
    {%- if constraint.type == 'check' %}{% do rules.append(constraint.expression) %}{% endif -%}
  {%- endfor -%}
  {%- for column in key %}{% do rules.append(column ~ ' is not null') %}{% endfor -%}
  {%- set stored = column_names(model) -%}
  {%- for column in node.columns.values() -%}
    {%- if column.name not in stored %}{% do rules.append("'" ~ column.name ~ " is stored' = ''") %}{% endif -%}
    {%- if every_column and not column.constraints and column.name not in key -%}
      {%- do rules.append("'" ~ column.name ~ " is constrained' = ''") -%}
    {%- endif -%}
    {%- for constraint in column.constraints -%}
      {%- do rules.append(column.name ~ ' is not null' if constraint.type == 'not_null' else constraint.expression) -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- for name in stored if name not in node.columns -%}
    {%- do rules.append("'" ~ name ~ " is described' = ''") -%}
  {%- endfor -%}
{%- endif %}
select *
from (
    select
        {% for column in key %}{{ column }}, {% endfor %}
        case
            {%- for rule in rules %}
            when not ({{ rule }}) then '{{ rule | replace("'", "''") }}'
            {%- endfor %}
            when copies > 1 then 'the key is unique'
        end as broken_rule
    from (
        select
            *,
            {% if key %}count(*) over (partition by {{ key | join(', ') }}){% else %}1{% endif %} as copies
        from {{ model }}
        where {{ within_partitions(tested_days()) if partitioned_by_hour else within_days(day_column, tested_days()) }}
    )
)
where broken_rule is not null
{% endtest %}
