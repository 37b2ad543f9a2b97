{#
  Athena writes at most 100 partitions with a statement. dbt-athena then writes in batches, by the two
  macros that stand in for its own here: its own leave half a table behind when a build dies between two
  batches of a new table, and lose the mark of vanished rows when they merge.
#}

{# Make a table of many partitions under another name, and give it its own when it is whole. #}
{% macro create_table_as_with_partitions(temporary, relation, compiled_code, language='sql') -%}
  {%- set name = relation.identifier ~ adapter.generate_unique_temporary_table_suffix() -%}
  {%- set unfinished = relation.incorporate(path={'identifier': name}, s3_path_table_part=relation.identifier) -%}
  {%- set rows = relation.incorporate(path={'identifier': name ~ '_rows'}) -%}
  {%- do run_query(create_table_as(temporary, rows, compiled_code, language, true)) -%}
  {%- for batch in get_partition_batches(rows, as_subquery=False) -%}
    {%- set of_batch = 'select * from ' ~ rows ~ ' where ' ~ batch -%}
    {%- if loop.first -%}
      {%- do run_query(create_table_as(temporary, unfinished, of_batch, language)) -%}
    {%- else -%}
      {%- do run_query('insert into ' ~ unfinished ~ ' ' ~ of_batch) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do rename_relation(unfinished, relation) -%}
  {%- do drop_relation(rows) -%}
{%- endmacro %}

{# Merge in batches of whole partitions, each a commit of its own. #}
{% macro batch_iceberg_merge(tmp_relation, target_relation, merge_part, dest_cols_csv) -%}
  {%- for batch in get_partition_batches(tmp_relation) -%}
    {%- do run_query(
        'merge into ' ~ target_relation ~ ' as target using (select * from ' ~ tmp_relation ~ ' where ' ~ batch
        ~ ') as src ' ~ merge_part) -%}
  {%- endfor -%}
{%- endmacro %}
