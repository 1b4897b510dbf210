{% test unique_combination_of_columns(model, columns) %}

select
    {{ columns | join(',\n    ') }},
    count(*) as number_of_rows
from {{ model }}
group by
    {{ columns | join(',\n    ') }}
having count(*) > 1

{% endtest %}
