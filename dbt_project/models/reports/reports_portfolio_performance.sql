{{ config(unique_key=['trade_date', 'portfolio'], partitioned_by=['month(trade_date)']) }}

{%- set written = changed_days() %}

with valuations as (
    select
        *,
        cast(hour_start as date) as trade_date,
        row_number() over (partition by portfolio, cast(hour_start as date) order by hour_start desc) as place
    from {{ ref('stg_portfolios') }}
    where {{ within_partitions(written) }}
),

made as (
    select
        portfolio,
        trade_date,
        market_value,
        cash,
        daily_return,
        cumulative_return,
        benchmark_return,
        volatility,
        sharpe,
        sortino,
        max_drawdown,
        var_95,
        cvar_95,
        beta,
        holding_count,
        oldest_price_age_hours,
        cast(hour_start as timestamp(6)) as last_valued_hour
    from valuations
    where place = 1
)

{{ made_or_vanished('made', written) }}
