-- No label is among the features, and no label is known before its decision, which is when the features
-- of its bar are.
{%- set key = ['symbol', 'asset_class', 'trade_date', 'hour_start'] %}
{%- set features = column_names(ref('ml_features_hourly')) %}

select
    labels.symbol,
    labels.hour_start,
    'decided before the features are known, or known before it is decided' as fault
from {{ ref('ml_features_labels') }} as labels
left join {{ ref('ml_features_hourly') }} as features
    on
        labels.trade_date = features.trade_date
        and labels.symbol = features.symbol
        and labels.hour_start = features.hour_start
where
    {{ within_days('labels.trade_date', tested_days()) }}
    and (
        labels.decision_at is distinct from features.available_at
        or labels.label_end_at <= labels.decision_at
    )
{%- for name in column_names(ref('ml_features_labels')) if name in features and name not in key %}
union all
select
    cast(null as varchar) as symbol,
    cast(null as timestamp(6)) as hour_start,
    '{{ name }} is a feature and a label' as fault
{%- endfor %}
