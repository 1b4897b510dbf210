{% test expression_is_true(model, expression, column_name=none) %}

select *
from {{ model }}
where case when {{ column_name or '' }} {{ expression }} then 0 else 1 end = 1

{% endtest %}
