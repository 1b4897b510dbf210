with

stg_jaffle_shop__customers as (
    select * from {{ ref('stg_jaffle_shop__customers') }}
),

orders as (
    select * from {{ ref('orders') }}
),

orders_by_customer as (
    select
        customer_id,
        count(*) as number_of_orders,
        cast(sum(amount) as decimal(16, 2)) as customer_lifetime_value,
        min(order_date) as first_order_date,
        max(order_date) as most_recent_order_date
    from orders
    group by customer_id
),

final as (
    select
        customers.customer_id,
        customers.first_name,
        customers.last_name,
        coalesce(history.number_of_orders, 0) as number_of_orders,
        cast(
            coalesce(history.customer_lifetime_value, 0) as decimal(16, 2)
        ) as customer_lifetime_value,
        history.first_order_date,
        history.most_recent_order_date
    from stg_jaffle_shop__customers as customers
    left outer join orders_by_customer as history
        on customers.customer_id = history.customer_id
)

select * from final
