with

fct_orders as (
    select * from {{ ref('fct_orders') }}
),

orders as (
    select
        customer_id,
        net_amount,
        cast(date_trunc('month', order_date) as date) as order_month
    from fct_orders
),

cohorts as (
    select
        customer_id,
        min(order_month) as cohort_month
    from orders
    group by customer_id
),

cohort_sizes as (
    select
        cohort_month,
        count(*) as number_of_customers
    from cohorts
    group by cohort_month
),

months as (
    select distinct order_month from orders
),

activity as (
    select
        cohorts.cohort_month,
        orders.order_month,
        count(distinct orders.customer_id) as number_of_active_customers,
        count(*) as number_of_orders,
        cast(sum(orders.net_amount) as decimal(18, 2)) as net_amount
    from orders
    inner join cohorts
        on orders.customer_id = cohorts.customer_id
    group by cohorts.cohort_month, orders.order_month
),

final as (
    select
        {{ joined_text(['sizes.cohort_month', "'/'", 'months.order_month']) }}
            as cohort_retention_id,
        cast(
            (
                extract(year from months.order_month)
                - extract(year from sizes.cohort_month)
            ) * 12
            + extract(month from months.order_month)
            - extract(month from sizes.cohort_month) as bigint
        ) as months_since_first_order,
        sizes.number_of_customers,
        coalesce(activity.number_of_active_customers, 0) as number_of_active_customers,
        coalesce(activity.number_of_orders, 0) as number_of_orders,
        cast(
            -- six digits behind the point: some engines keep four more of a quotient
            cast(coalesce(activity.number_of_active_customers, 0) as decimal(18, 6))
            / sizes.number_of_customers as decimal(9, 6)
        ) as retention_rate,
        cast(coalesce(activity.net_amount, 0) as decimal(18, 2)) as net_amount,
        sizes.cohort_month,
        months.order_month
    from cohort_sizes as sizes
    inner join months
        on sizes.cohort_month <= months.order_month
    left outer join activity
        on
            sizes.cohort_month = activity.cohort_month
            and months.order_month = activity.order_month
)

select * from final
