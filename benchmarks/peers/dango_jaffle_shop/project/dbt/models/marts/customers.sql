{{ config(materialized='table', schema='marts') }}

with history as (

    select
        customer_id,
        count(*) as number_of_orders,
        cast(sum(amount) as decimal(16, 2)) as customer_lifetime_value,
        min(order_date) as first_order_date,
        max(order_date) as most_recent_order_date
    from {{ ref('orders') }}
    group by customer_id

),

joined as (

    select
        customers.id as customer_id,
        customers.first_name,
        customers.last_name,
        coalesce(history.number_of_orders, 0) as number_of_orders,
        coalesce(history.customer_lifetime_value, 0) as customer_lifetime_value,
        history.first_order_date,
        history.most_recent_order_date
    from {{ source('jaffle_customers', 'jaffle_customers') }} as customers
    left join history on customers.id = history.customer_id

)

select * from joined
