{#
  How models are written, in the place of dbt-athena's macros of the same names.

  - Rows are merged as they are selected. dbt-athena stores them in a table first, merges from it and drops
    it, which doubles the statements and what they read and write.
  - Athena writes at most 100 partitions with a statement; what has more is written in batches. A new table
    gets its name when it is whole: under dbt-athena a build that is killed between two batches leaves a
    part that later builds take for the whole. And the mark of vanished rows stays with merged batches.
#}

{# Make the table. Rows to be merged are not stored. #}
{% macro safe_create_table_as(temporary, relation, compiled_code, language='sql', force_batch=False) -%}
  {%- if temporary -%}
    {{ return('') }}
  {%- endif -%}
  {%- set outcome = adapter.run_query_with_partitions_limit_catching(create_table_as(false, relation, compiled_code)) -%}
  {%- if outcome == 'TOO_MANY_OPEN_PARTITIONS' -%}
    {%- do create_table_in_batches(relation, compiled_code) -%}
  {%- endif -%}
  {{ return(outcome) }}
{%- endmacro %}

{% macro create_table_in_batches(relation, compiled_code) -%}
  {%- set name = relation.identifier ~ adapter.generate_unique_temporary_table_suffix() -%}
  {%- set unfinished = relation.incorporate(path={'identifier': name}, s3_path_table_part=relation.identifier) -%}
  {%- set rows = relation.incorporate(path={'identifier': name ~ '_rows'}) -%}
  {%- do run_query(create_table_as(true, rows, compiled_code, 'sql', true)) -%}
  {%- for batch in get_partition_batches(rows, as_subquery=False) -%}
    {%- set of_batch = 'select * from ' ~ rows ~ ' where ' ~ batch -%}
    {%- if loop.first -%}
      {%- do run_query(create_table_as(false, unfinished, of_batch)) -%}
    {%- else -%}
      {%- do run_query('insert into ' ~ unfinished ~ ' ' ~ of_batch) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do rename_relation(unfinished, relation) -%}
  {%- do drop_relation(rows) -%}
{%- endmacro %}

{# Merge the model's rows by its unique key. tmp_relation is for rows of too many partitions; the
   materialization drops it. #}
{% macro iceberg_merge(on_schema_change, tmp_relation, target_relation, unique_key, incremental_predicates,
                       existing_relation, delete_condition, update_condition, insert_condition, force_batch,
                       statement_name='main') -%}
  {%- set columns = adapter.get_columns_in_relation(target_relation) | map(attribute='quoted') | list -%}
  {%- set on, updates = [], [] -%}
  {%- for column in columns -%}
    {%- if column.strip('"') in unique_key -%}
      {%- do on.append('target.' ~ column ~ ' = src.' ~ column) -%}
    {%- else -%}
      {%- do updates.append(column ~ ' = src.' ~ column) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set merged -%}
    on {{ on | join(' and ') }}
    when matched and {{ delete_condition }} then delete
    when matched then update set {{ updates | join(', ') }}
    when not matched and {{ insert_condition }} then
      insert ({{ columns | join(', ') }}) values (src.{{ columns | join(', src.') }})
  {%- endset -%}
  {%- set into = 'merge into ' ~ target_relation ~ ' as target using (' -%}
  {%- set outcome = adapter.run_query_with_partitions_limit_catching(into ~ sql ~ ') as src ' ~ merged) -%}
  {%- if outcome == 'TOO_MANY_OPEN_PARTITIONS' -%}
    {%- do run_query(create_table_as(true, tmp_relation, sql, 'sql', true)) -%}
    {%- for batch in get_partition_batches(tmp_relation, as_subquery=False) -%}
      {%- do run_query(into ~ 'select * from ' ~ tmp_relation ~ ' where ' ~ batch ~ ') as src ' ~ merged) -%}
    {%- endfor -%}
  {%- endif -%}
  select '{{ outcome }}'
{%- endmacro %}
