{% test equal_rows(model, column_name, to) %}

with

totals as (
    select coalesce(sum({{ column_name }}), 0) as total
    from {{ model }}
),

row_counts as (
    select count(*) as number_of_rows
    from {{ to }}
),

final as (
    select
        totals.total,
        row_counts.number_of_rows
    from totals
    cross join row_counts
    where totals.total <> row_counts.number_of_rows
)

select * from final

{% endtest %}
