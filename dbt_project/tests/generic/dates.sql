{#- How new the rows are, whether each period has some, and how many each has. -#}

{% test recency(
    model, field, datepart, interval, ignore_time_component=false, group_by_columns=none
) %}
    {{ failing_recency(
        model, field, datepart, interval, none, group_by_columns, ignore_time_component
    ) }}
{% endtest %}

{% test expect_row_values_to_have_recent_data(
    model, column_name, datepart, interval, row_condition=none
) %}
    {{ failing_recency(model, column_name, datepart, interval, row_condition) }}
{% endtest %}

{% test expect_grouped_row_values_to_have_recent_data(
    model, group_by, timestamp_column, datepart, interval, row_condition=none
) %}
    {{ failing_recency(
        model, timestamp_column, datepart, interval, row_condition, group_by
    ) }}
{% endtest %}

{#- A row for each gap: the last period before it, and the first after it. -#}
{% test expect_row_values_to_have_data_for_every_n_datepart(
    model, date_col, date_part='day', interval=1, row_condition=none, test_start_date=none,
    test_end_date=none, exclusion_condition=none
) %}
    {%- set period = 'cast(' ~ dbt.date_trunc(date_part, date_col) ~ ' as timestamp)' -%}
    with

    periods as (
        select {{ period }} as period
        from {{ model }}
        where
            {{ date_col }} is not null
            {%- if row_condition %}
            and {{ row_condition }}
            {%- endif %}
        {%- for date, interval_of in [(test_start_date, -interval), (test_end_date, interval)] %}
        {%- if date is not none %}
        {#- the period before the first, or after the last: what lacks it shows as a gap #}
        union all
        select
            cast({{ dbt.dateadd(
                date_part,
                interval_of,
                dbt.date_trunc(date_part, 'cast(' ~ bound(date) ~ ' as timestamp)')
            ) }} as timestamp) as period
        {%- endif %}
        {%- endfor %}
    ),

    ordered as (
        select
            period as period_before,
            lead(period) over (order by period) as next_period
        from (select distinct period from periods) as distinct_periods
    )

    select *
    from ordered
    where
        next_period > cast({{ dbt.dateadd(date_part, interval, 'period_before') }} as timestamp)
        {%- if exclusion_condition %}
        and not ({{ exclusion_condition }})
        {%- endif %}
{% endtest %}

{#- At a column its sum by period is tested; at the model the number of its rows. -#}
{% test expect_column_values_to_be_within_n_moving_stdevs(
    model, date_column_name, column_name=none, group_by=none, period='day', lookback_periods=1,
    trend_periods=7, test_periods=14, sigma_threshold=3, sigma_threshold_upper=none,
    sigma_threshold_lower=none, take_diffs=true, take_logs=true
) %}
    {%- set groups = ([group_by] if group_by is string else group_by) or [] -%}
    {%- set listed = (groups | join(', ') ~ ', ') if groups else '' -%}
    {%- set partition = ('partition by ' ~ groups | join(', ')) if groups else '' -%}
    {%- set upper = sigma_threshold if sigma_threshold_upper is none else sigma_threshold_upper -%}
    {%- set lower = -sigma_threshold if sigma_threshold_lower is none else sigma_threshold_lower -%}
    {%- set total = 'sum(' ~ column_name ~ ')' if column_name else 'count(*)' -%}
    {%- set shown = 'value' if column_name else 'number_of_rows' -%}
    {%- set size = 'case when ' ~ shown ~ ' > 0 then ln(' ~ shown ~ ') end'
        if take_logs else shown -%}
    with

    by_period as (
        select
            {{ listed }}cast({{ dbt.date_trunc(period, date_column_name) }} as date) as period,
            cast({{ total }} as {{ dbt.type_float() }}) as {{ shown }}
        from {{ model }}
        where {{ date_column_name }} is not null
        group by {{ listed }}cast({{ dbt.date_trunc(period, date_column_name) }} as date)
    ),

    moved as (
        select
            *,
            {{ size }}
            {%- if take_diffs %}
            - lag({{ size }}, {{ lookback_periods }}) over ({{ partition }} order by period)
            {%- endif %} as movement
        from by_period
    ),

    measured as (
        select
            *,
            avg(movement) over (
                {{ partition }} order by period
                rows between {{ trend_periods }} preceding and 1 preceding
            ) as usual,
            stddev_samp(movement) over (
                {{ partition }} order by period
                rows between {{ trend_periods }} preceding and 1 preceding
            ) as deviation,
            row_number() over ({{ partition }} order by period desc) as age
        from moved
    ),

    final as (
        select
            {{ listed }}period,
            {{ shown }},
            (movement - usual) / nullif(deviation, 0) as deviations
        from measured
        where age <= {{ test_periods }}
    )

    select *
    from final
    where deviations > {{ upper }} or deviations < {{ lower }}
{% endtest %}
