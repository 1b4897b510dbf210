{#- Each row by how the text of one column is written; a null passes. -#}

{% test expect_column_values_to_match_regex(
    model, column_name, regex, row_condition=none, mostly=none, flags=''
) %}
    {{ failing_values(
        model, column_name, unlike_all(column_name, [regex], flags=flags), row_condition, mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_not_match_regex(
    model, column_name, regex, row_condition=none, mostly=none, flags=''
) %}
    {{ failing_values(
        model,
        column_name,
        matches_regex(column_name, regex, flags) | trim,
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_match_regex_list(
    model, column_name, regex_list, match_on='any', row_condition=none, mostly=none, flags=''
) %}
    {{ failing_values(
        model,
        column_name,
        unlike_all(column_name, regex_list, match_on, flags=flags),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_not_match_regex_list(
    model, column_name, regex_list, match_on='any', row_condition=none, mostly=none, flags=''
) %}
    {{ failing_values(
        model,
        column_name,
        'not ' ~ unlike_all(column_name, regex_list, match_on, flags=flags),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_match_like_pattern(
    model, column_name, like_pattern, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        unlike_all(column_name, [like_pattern], kind='like'),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_not_match_like_pattern(
    model, column_name, like_pattern, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        column_name ~ ' like ' ~ text_literal(like_pattern),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_match_like_pattern_list(
    model, column_name, like_pattern_list, match_on='any', row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        unlike_all(column_name, like_pattern_list, match_on, 'like'),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_not_match_like_pattern_list(
    model, column_name, like_pattern_list, match_on='any', row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        'not ' ~ unlike_all(column_name, like_pattern_list, match_on, 'like'),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_be_json_parseable(
    model, column_name, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model, column_name, 'not (' ~ is_json(column_name) | trim ~ ')', row_condition, mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_be_dateutil_parseable(
    model, column_name, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        'not (' ~ is_timestamp(column_name) | trim ~ ')',
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_match_strftime_format(
    model, column_name, strftime_format, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        'not (' ~ has_time_format(column_name, strftime_format) | trim ~ ')',
        row_condition,
        mostly
    ) }}
{% endtest %}
