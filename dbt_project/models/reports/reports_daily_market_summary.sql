{{ config(unique_key=['trade_date', 'asset_class'], partitioned_by=['month(trade_date)']) }}

{%- set written = widened(changed_days(), forward=var('previous_close_days') + var('rolling_days')) %}

with symbols as (
    select
        daily.*,
        moves.simple_return,
        risk.volatility_20d,
        max(moves.simple_return) over of_class as best_return,
        min(moves.simple_return) over of_class as worst_return
    from {{ ref('aggregations_daily_ohlcv') }} as daily
    left join {{ ref('aggregations_daily_returns') }} as moves
        on daily.trade_date = moves.trade_date and daily.symbol = moves.symbol
    left join {{ ref('aggregations_volatility') }} as risk
        on daily.trade_date = risk.trade_date and daily.symbol = risk.symbol
    where {{ within_days('daily.trade_date', written) }}
    window of_class as (partition by daily.trade_date, daily.asset_class)
),

leaders as (
    select
        trade_date,
        asset_class,
        symbol
    from {{ ref('aggregations_volume_leaders') }}
    where
        turnover_rank = 1
        and {{ within_days('trade_date', written) }}
),

summary as (
    select
        trade_date,
        asset_class,
        count(*) as symbol_count,
        sum(bar_count) as bar_count,
        count(*) filter (where simple_return > 0) as advancers,
        count(*) filter (where simple_return < 0) as decliners,
        count(*) filter (where simple_return = 0) as unchanged,
        avg(simple_return) as mean_return,
        min(symbol) filter (where simple_return = best_return) as best_symbol,
        max(best_return) as best_return,
        min(symbol) filter (where simple_return = worst_return) as worst_symbol,
        min(worst_return) as worst_return,
        sum(volume) as volume,
        sum(turnover) as turnover,
        avg(volatility_20d) as mean_volatility_20d,
        min(first_bar_at) as first_bar_at,
        max(last_bar_at) as last_bar_at
    from symbols
    group by trade_date, asset_class
),

made as (
    select
        summary.trade_date,
        summary.asset_class,
        summary.symbol_count,
        summary.bar_count,
        summary.advancers,
        summary.decliners,
        summary.unchanged,
        summary.mean_return,
        summary.best_symbol,
        summary.best_return,
        summary.worst_symbol,
        summary.worst_return,
        summary.volume,
        summary.turnover,
        leaders.symbol as most_traded_symbol,
        summary.mean_volatility_20d,
        summary.first_bar_at,
        summary.last_bar_at
    from summary
    left join leaders
        on summary.trade_date = leaders.trade_date and summary.asset_class = leaders.asset_class
)

{{ made_or_vanished('made', written) }}
