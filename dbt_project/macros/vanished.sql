{#
  The rows to merge: those made now, and those that the table holds in the days written of which
  none was made, marked is_vanished. dbt's merge deletes the latter (delete_condition in
  dbt_project.yml), in the same commit as it writes the others. The mark, and the choice between two
  rows of a key, are columns of the merge's source; they do not enter the table.

  `made` is named once, since Athena computes a common table expression anew wherever it is named.
  The table's columns stand in the order of the model's, so the two sets of rows go together by place.
#}
{% macro made_or_vanished(made, written, day_column='trade_date') %}
  {%- if is_incremental() %}
select *
from (
    select
        *,
        row_number() over (partition by {{ config.get('unique_key') | join(', ') }} order by is_vanished) as choice
    from (
        select *, false as is_vanished from {{ made }}
        union all
        select *, true as is_vanished from {{ this }} where {{ within_days(day_column, written) }}
    )
)
where choice = 1
  {%- else %}
select * from {{ made }}
  {%- endif %}
{%- endmacro %}
