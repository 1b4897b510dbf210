{% test expression_is_true(model, expression) %}

select *
from {{ model }}
where case when {{ expression }} then 0 else 1 end = 1

{% endtest %}
