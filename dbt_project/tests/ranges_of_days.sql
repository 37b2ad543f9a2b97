-- The macros of macros/window.sql, case by case: a row for each that does not hold.
{%- set january = days_between('2023-01-03', '2023-01-31') %}
{%- set open_ended = days_between('2023-01-03', none) %}
{%- set unbounded = days_between(none, none) %}
{%- set cases = [
    (
        'an hour is its day',
        days_of_hours('2023-01-03 14:00:00', '2023-01-03 15:00:00'),
        days_between('2023-01-03', '2023-01-04'),
    ),
    (
        'midnight ends the day before',
        days_of_hours('2023-01-03 00:00:00', '2023-01-04 00:00:00'),
        days_between('2023-01-03', '2023-01-04'),
    ),
    (
        'an hour past midnight begins a day',
        days_of_hours('2022-12-31 23:00:00', '2023-01-01 01:00:00'),
        days_between('2022-12-31', '2023-01-02'),
    ),
    ('no end', days_of_hours('2023-01-03 23:00:00', none), open_ended),
    ('widened over New Year', widened(january, back=10, forward=1), days_between('2022-12-24', '2023-02-01')),
    ('widened without an end', widened(open_ended, back=2, forward=9), days_between('2023-01-01', none)),
    ('what has no bound is not widened', widened(unbounded, back=2, forward=9), unbounded),
    ('weeks are completed', whole_weeks(january), days_between('2023-01-02', '2023-02-06')),
    (
        'whole weeks stay',
        whole_weeks(days_between('2023-01-02', '2023-01-09')),
        days_between('2023-01-02', '2023-01-09'),
    ),
    ('weeks without an end', whole_weeks(open_ended), days_between('2023-01-02', none)),
    ('days', within_days('d', january), "d >= date '2023-01-03' and d < date '2023-01-31'"),
    ('days without an end', within_days('d', open_ended), "d >= date '2023-01-03'"),
    ('every day', within_days('d', unbounded), 'true'),
    (
        'partitions of a day',
        within_partitions(days_between('2023-01-03', '2023-01-04')) | trim,
        "year between '2023' and '2023' and month between '01' and '01' and day between '03' and '03'"
        ~ " and year || month || day between '20230103' and '20230103'",
    ),
    (
        'partitions of two months',
        within_partitions(days_between('2023-01-03', '2023-02-05')) | trim,
        "year between '2023' and '2023' and month between '01' and '02'"
        ~ " and year || month || day between '20230103' and '20230204'",
    ),
    (
        'partitions of two years',
        within_partitions(days_between('2022-12-29', '2023-01-31')) | trim,
        "year between '2022' and '2023' and year || month || day between '20221229' and '20230130'",
    ),
    (
        'partitions without an end',
        within_partitions(open_ended) | trim,
        "year >= '2023' and year || month || day >= '20230103'",
    ),
    ('every partition', within_partitions(unbounded) | trim, 'true'),
] %}
{%- for name, found, wanted in cases if found != wanted and execute %}
select
    '{{ name }}' as broken_case,
    '{{ found | string | replace("'", "''") }}' as rendered
union all
{%- endfor %}
select
    'none' as broken_case,
    '' as rendered
where false
