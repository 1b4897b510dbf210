with

stg_jaffle_shop__orders as (
    select * from {{ ref('stg_jaffle_shop__orders') }}
),

int_payments_pivoted_to_orders as (
    select * from {{ ref('int_payments_pivoted_to_orders') }}
),

final as (
    select
        orders.order_id,
        orders.customer_id,
        orders.status,
        cast(
            coalesce(payments.credit_card_amount, 0) as decimal(16, 2)
        ) as credit_card_amount,
        cast(coalesce(payments.coupon_amount, 0) as decimal(16, 2)) as coupon_amount,
        cast(
            coalesce(payments.bank_transfer_amount, 0) as decimal(16, 2)
        ) as bank_transfer_amount,
        cast(
            coalesce(payments.gift_card_amount, 0) as decimal(16, 2)
        ) as gift_card_amount,
        cast(coalesce(payments.amount, 0) as decimal(16, 2)) as amount,
        orders.order_date
    from stg_jaffle_shop__orders as orders
    left outer join int_payments_pivoted_to_orders as payments
        on orders.order_id = payments.order_id
)

select * from final
