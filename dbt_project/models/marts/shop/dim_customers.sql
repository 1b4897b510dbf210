with

stg_shop__customers as (
    select * from {{ ref('stg_shop__customers') }}
),

fct_orders as (
    select * from {{ ref('fct_orders') }}
),

orders_by_customer as (
    select
        customer_id,
        count(*) as number_of_orders,
        cast(sum(net_amount) as decimal(18, 2)) as lifetime_amount,
        min(order_date) as first_order_date,
        max(order_date) as latest_order_date
    from fct_orders
    group by customer_id
),

final as (
    select
        customers.customer_id,
        customers.email,
        customers.first_name,
        customers.last_name,
        customers.phone,
        customers.account_state,
        coalesce(history.number_of_orders, 0) as number_of_orders,
        customers.orders_count as reported_number_of_orders,
        cast(coalesce(history.lifetime_amount, 0) as decimal(18, 2)) as lifetime_amount,
        customers.total_spent as reported_lifetime_amount,
        customers.is_marketing_accepted,
        history.first_order_date,
        history.latest_order_date,
        customers.created_at,
        customers.updated_at
    from stg_shop__customers as customers
    left outer join orders_by_customer as history
        on customers.customer_id = history.customer_id
)

select * from final
