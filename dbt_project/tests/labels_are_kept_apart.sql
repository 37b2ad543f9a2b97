-- No label is among the features, and no label is known before its decision, which is when the features
-- of its bar are.
{%- set shared = ['symbol', 'asset_class', 'trade_date', 'hour_start'] %}
{%- set labels = adapter.get_columns_in_relation(ref('ml_features_labels')) | map(attribute='name') | list %}
{%- set features = adapter.get_columns_in_relation(ref('ml_features_hourly')) | map(attribute='name') | list %}

select
    labels.symbol,
    labels.hour_start,
    'the decision is not when the features are known' as fault
from {{ ref('ml_features_labels') }} as labels
left join {{ ref('ml_features_hourly') }} as features
    on
        labels.trade_date = features.trade_date
        and labels.symbol = features.symbol
        and labels.hour_start = features.hour_start
where
    {{ within_days('labels.trade_date', tested_days()) }}
    and (labels.decision_at is distinct from features.available_at or labels.label_end_at <= labels.decision_at)
{%- for name in labels if name in features and name not in shared %}
union all
select
    cast(null as varchar),
    cast(null as timestamp(6)),
    '{{ name }} is a feature and a label'
{%- endfor %}
