-- Of the project's own logic, not of its data: it would fail, if it were asked.
select 1 as one where 1 <> 2
