{#
  Rewrites the small files that merges leave, and drops snapshots and files that are past their age. For
  now and then, not for every build:

      dbt run-operation compact_tables
#}
{% macro compact_tables() %}
  {% for node in graph.nodes.values() if node.resource_type == 'model' and node.config.get('table_type') == 'iceberg' %}
    {% set table = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
    {% do adapter.run_operation_with_potential_multiple_runs(
        'optimize ' ~ table.render_pure() ~ ' rewrite data using bin_pack', 'optimize') %}
    {% do adapter.run_operation_with_potential_multiple_runs('vacuum ' ~ table.render_pure(), 'vacuum') %}
    {% do log('compacted ' ~ node.alias, info=true) %}
  {% endfor %}
{% endmacro %}
