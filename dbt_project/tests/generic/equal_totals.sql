{% test equal_totals(model, column_name, to, field) %}

with

totals as (
    select coalesce(sum({{ column_name }}), 0) as total
    from {{ model }}
),

other_totals as (
    select coalesce(sum({{ field }}), 0) as other_total
    from {{ to }}
),

final as (
    select
        totals.total,
        other_totals.other_total
    from totals
    cross join other_totals
    where totals.total <> other_totals.other_total
)

select * from final

{% endtest %}
