{#- The set of the values of one column, nulls left out. -#}

{% test expect_column_distinct_values_to_be_in_set(
    model, column_name, value_set, quote_values=none, row_condition=none
) %}
    {{ values_of(model, column_name, row_condition) }}
    where value not in ({{ literals(value_set, quote_values) }})
{% endtest %}

{% test expect_column_distinct_values_to_contain_set(
    model, column_name, value_set, quote_values=none, row_condition=none
) %}
    {{ values_missing(model, column_name, value_set, quote_values, row_condition) }}
{% endtest %}

{% test expect_column_distinct_values_to_equal_set(
    model, column_name, value_set, quote_values=none, row_condition=none
) %}
    select
        value as value_field,
        'not in the set' as problem
    from (
        {{ values_of(model, column_name, row_condition) }}
        where value not in ({{ literals(value_set, quote_values) }})
    ) as surplus
    union all
    select
        value as value_field,
        'missing' as problem
    from (
        {{ values_missing(model, column_name, value_set, quote_values, row_condition) }}
    ) as missing
{% endtest %}

{% test expect_column_most_common_value_to_be_in_set(
    model, column_name, value_set, top_n=1, quote_values=none, data_type=none,
    row_condition=none, ties_okay=true
) %}
    select *
    from (
        select
            value,
            number_of_rows,
            rank() over (order by number_of_rows desc) as place
        from (
            {{ values_of(model, column_name, row_condition) }}
        ) as counted
    ) as ranked
    where place <= {{ top_n }} and value not in ({{ literals(value_set, quote_values) }})
{% endtest %}

{% test expect_column_distinct_count_to_equal_other_table(
    model, column_name=none, compare_model=none, compare_column_name=none, row_condition=none,
    compare_row_condition=none
) %}
    {%- set other = compare_model or model -%}
    {{ unequal_numbers(
        model,
        'count(distinct ' ~ column_name ~ ')',
        other,
        'count(distinct ' ~ (compare_column_name or column_name) ~ ')',
        row_condition=row_condition,
        compare_row_condition=compare_row_condition
    ) }}
{% endtest %}

{#- Values of either column that the other does not have. -#}
{% test cardinality_equality(model, column_name, to, field) %}
    with

    ours as (
        select
            {{ column_name }} as value_field,
            count(*) as number_of_rows
        from {{ model }}
        where {{ column_name }} is not null
        group by {{ column_name }}
    ),

    theirs as (
        select
            {{ field }} as value_field,
            count(*) as number_of_rows
        from {{ to }}
        where {{ field }} is not null
        group by {{ field }}
    )

    select
        coalesce(ours.value_field, theirs.value_field) as value_field,
        ours.number_of_rows,
        theirs.number_of_rows as expected_rows
    from ours
    full outer join theirs on ours.value_field = theirs.value_field
    where
        ours.number_of_rows is null
        or theirs.number_of_rows is null
        or ours.number_of_rows <> theirs.number_of_rows
{% endtest %}
