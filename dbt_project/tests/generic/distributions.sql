{#- Values beside all the others of their column. -#}

{% test expect_column_values_to_be_within_n_stdevs(
    model, column_name, group_by=none, sigma_threshold=3, row_condition=none
) %}
    {{ failing_deviations(
        model, column_name, sigma_threshold, group_by, row_condition=row_condition
    ) }}
{% endtest %}

{% test expect_column_value_z_scores_to_be_less_than(
    model, column_name, threshold, double_sided=true, row_condition=none, mostly=none
) %}
    {{ failing_deviations(
        model,
        column_name,
        threshold,
        double_sided=double_sided,
        row_condition=row_condition,
        mostly=mostly,
        fails='>='
    ) }}
{% endtest %}

{% test expect_column_values_to_not_be_outliers(
    model, column_name, method='iqr', multiplier=1.5, row_condition=none, mostly=none
) %}
    {%- if method == 'std' %}
    {{ failing_deviations(
        model, column_name, multiplier, row_condition=row_condition, mostly=mostly, fails='>='
    ) }}
    {%- else %}
    {%- set where = 'where ' ~ row_condition if row_condition else '' -%}
    {%- set quartiles %}(
        select
            {{ quantile_of(column_name, 0.25) }} as low,
            {{ quantile_of(column_name, 0.75) }} as high
        from {{ model }}
        {{ where }}
    ) as quartiles{% endset -%}
    {{ failing_rows(
        '(select tested.*, quartiles.low as first_quartile, quartiles.high as third_quartile from '
        ~ model ~ ' as tested cross join ' ~ quartiles ~ ') as with_quartiles',
        column_name ~ ' < first_quartile - ' ~ multiplier ~ ' * (third_quartile - first_quartile)'
        ~ ' or ' ~ column_name ~ ' > third_quartile + ' ~ multiplier
        ~ ' * (third_quartile - first_quartile)',
        column_name ~ ' is not null',
        row_condition,
        mostly
    ) }}
    {%- endif %}
{% endtest %}

{#- The sum over all parts of observed * ln(observed / expected). -#}
{% test expect_column_kl_divergence_to_be_less_than(
    model, column_name, partition_object, threshold, internal_weight_holdout=0,
    tail_weight_holdout=0, row_condition=none
) %}
    {%- set bins = partition_object.get('bins') -%}
    with

    expected as (
        {%- for weight in partition_object['weights'] %}
        select
            {{ loop.index0 if bins else literals([partition_object['values'][loop.index0]]) }}
            as part,
            {{ weight }} * (1.0 - {{ internal_weight_holdout }} - {{ tail_weight_holdout }})
            as weight
        {{ 'union all' if not loop.last }}
        {%- endfor %}
    ),

    parts as (
        select
            {%- if bins %}
            case
                when {{ column_name }} = {{ bins[-1] }} then {{ bins | length - 2 }}
                {%- for each in bins[1:] %}
                when {{ column_name }} < {{ bins[0] }} then -1
                when {{ column_name }} < {{ each }} then {{ loop.index0 }}
                {%- endfor %}
                else -1
            end as part
            {%- else %}
            {{ column_name }} as part
            {%- endif %}
        from {{ model }}
        where
            {{ column_name }} is not null
            {%- if row_condition %}
            and {{ row_condition }}
            {%- endif %}
    ),

    observed as (
        select
            part,
            count(*) * 1.0 / sum(count(*)) over () as weight
        from parts
        group by part
    ),

    measured as (
        select
            {#- what is in no part is infinitely surprising, unless some weight is held out #}
            coalesce(sum(
                observed.weight * ln(observed.weight / coalesce(
                    expected.weight,
                    {{ tail_weight_holdout if bins else internal_weight_holdout }}
                    + 0.000000000001
                ))
            ), 0) as divergence
        from observed
        left join expected on observed.part = expected.part
    )

    select
        divergence,
        {{ threshold }} as at_most
    from measured
    where divergence >= {{ threshold }}
{% endtest %}

{#- Cramér's V of two columns: 0 where neither says anything about the other, 1 at most. -#}
{% test expect_column_pair_cramers_phi_value_to_be_less_than(
    model, column_A, column_B, threshold=0.1, row_condition=none
) %}
    with

    cells as (
        select
            {{ column_A }} as part_a,
            {{ column_B }} as part_b,
            count(*) * 1.0 as number_of_rows
        from {{ model }}
        where
            {{ column_A }} is not null and {{ column_B }} is not null
            {%- if row_condition %}
            and {{ row_condition }}
            {%- endif %}
        group by {{ column_A }}, {{ column_B }}
    ),

    totals as (
        select
            number_of_rows,
            sum(number_of_rows) over (partition by part_a) as of_a,
            sum(number_of_rows) over (partition by part_b) as of_b,
            sum(number_of_rows) over () as of_all
        from cells
    ),

    measured as (
        select
            {#- chi-squared / n is the sum of n_ab^2 / (n_a * n_b), less 1 #}
            sum(number_of_rows * number_of_rows / (of_a * of_b)) - 1 as chi_squared,
            (select count(distinct part_a) - 1 from cells) as degrees_a,
            (select count(distinct part_b) - 1 from cells) as degrees_b
        from totals
    ),

    final as (
        select
            sqrt(
                case when chi_squared < 0 then 0 else chi_squared end
                / nullif(least(degrees_a, degrees_b), 0)
            ) as cramers_phi
        from measured
    )

    select
        cramers_phi,
        {{ threshold }} as at_most
    from final
    where cramers_phi >= {{ threshold }}
{% endtest %}
