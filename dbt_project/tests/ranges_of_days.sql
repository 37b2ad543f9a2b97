-- The window macros (macros/window.sql), case by case: a row for each that does not hold.
{%- set day = modules.datetime.date %}
{%- set january = {'first': day(2023, 1, 3), 'end': day(2023, 1, 31)} %}
{%- set open = {'first': day(2023, 1, 3), 'end': none} %}
{%- set all = {'first': none, 'end': none} %}
{%- set hours = days_of_hours %}
{%- set cases = [
    ('an hour is its day', hours('2023-01-03 14:00:00', '2023-01-03 15:00:00'), {'first': day(2023, 1, 3), 'end': day(2023, 1, 4)}),
    ('midnight ends the day before', hours('2023-01-03 00:00:00', '2023-01-04 00:00:00'), {'first': day(2023, 1, 3), 'end': day(2023, 1, 4)}),
    ('an hour past midnight begins a day', hours('2023-01-03 23:00:00', '2023-01-04 01:00:00'), {'first': day(2023, 1, 3), 'end': day(2023, 1, 5)}),
    ('no end', hours('2022-12-31 23:00:00', none), {'first': day(2022, 12, 31), 'end': none}),
    ('widened over New Year', widened(january, back=10, forward=1), {'first': day(2022, 12, 24), 'end': day(2023, 2, 1)}),
    ('widened without an end', widened(open, back=2, forward=9), {'first': day(2023, 1, 1), 'end': none}),
    ('everything is not widened', widened(all, back=2, forward=9), all),
    ('weeks are completed', whole_weeks(january), {'first': day(2023, 1, 2), 'end': day(2023, 2, 6)}),
    ('whole weeks stay', whole_weeks({'first': day(2023, 1, 2), 'end': day(2023, 1, 9)}), {'first': day(2023, 1, 2), 'end': day(2023, 1, 9)}),
    ('weeks without an end', whole_weeks(open), {'first': day(2023, 1, 2), 'end': none}),
    ('days', within_days('d', january), "d >= date '2023-01-03' and d < date '2023-01-31'"),
    ('days without an end', within_days('d', open), "d >= date '2023-01-03'"),
    ('every day', within_days('d', all), 'true'),
    ('partitions of a day', within_partitions(hours('2023-01-03 14:00:00', '2023-01-03 15:00:00')) | trim,
        "year between '2023' and '2023' and month between '01' and '01' and day between '03' and '03'"
        ~ " and year || month || day between '20230103' and '20230103'"),
    ('partitions of two months', within_partitions(widened(january, forward=5)) | trim,
        "year between '2023' and '2023' and month between '01' and '02'"
        ~ " and year || month || day between '20230103' and '20230204'"),
    ('partitions of two years', within_partitions(widened(january, back=5)) | trim,
        "year between '2022' and '2023' and year || month || day between '20221229' and '20230130'"),
    ('partitions without an end', within_partitions(open) | trim, "year >= '2023' and year || month || day >= '20230103'"),
    ('every partition', within_partitions(all) | trim, 'true'),
] %}
{%- for name, found, wanted in cases if execute and found != wanted %}
select '{{ name }}' as broken, '{{ found | string | replace("'", "''") }}' as found
union all
{%- endfor %}
select 'none' as broken, '' as found
where false
