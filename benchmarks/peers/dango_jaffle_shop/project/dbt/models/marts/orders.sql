{{ config(materialized='table', schema='marts') }}

with payments as (

    select
        order_id,
        cast(sum(amount) / 100.0 as decimal(16, 2)) as amount
    from {{ source('jaffle_payments', 'jaffle_payments') }}
    group by order_id

)

select
    orders.id as order_id,
    orders.user_id as customer_id,
    orders.status,
    coalesce(payments.amount, 0) as amount,
    orders.order_date
from {{ source('jaffle_orders', 'jaffle_orders') }} as orders
left join payments on orders.id = payments.order_id
