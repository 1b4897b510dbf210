with

stg_shop__orders as (
    select * from {{ ref('stg_shop__orders') }}
),

stg_shop__order_shipping_lines as (
    select * from {{ ref('stg_shop__order_shipping_lines') }}
),

int_shop_order_lines_summed_to_orders as (
    select * from {{ ref('int_shop_order_lines_summed_to_orders') }}
),

int_shop_transactions_summed_to_orders as (
    select * from {{ ref('int_shop_transactions_summed_to_orders') }}
),

shipping as (
    select
        order_id,
        cast(sum(discounted_shipping_amount) as decimal(18, 2)) as shipping_amount
    from stg_shop__order_shipping_lines
    group by order_id
),

final as (
    select
        orders.order_id,
        orders.customer_id,
        orders.location_id,
        orders.order_name,
        orders.source_name,
        orders.currency,
        orders.financial_status,
        orders.fulfillment_status,
        orders.cancel_reason,
        cast(
            row_number() over (
                partition by orders.customer_id
                order by orders.created_at, orders.order_id
            ) as bigint
        ) as customer_order_number,
        coalesce(line_totals.number_of_lines, 0) as number_of_lines,
        coalesce(line_totals.quantity, 0) as quantity,
        cast(coalesce(line_totals.lines_amount, 0) as decimal(18, 2)) as lines_amount,
        cast(
            coalesce(line_totals.discount_amount, 0) as decimal(18, 2)
        ) as discount_amount,
        cast(coalesce(line_totals.tax_amount, 0) as decimal(18, 2)) as tax_amount,
        cast(
            coalesce(shipping.shipping_amount, 0) as decimal(18, 2)
        ) as shipping_amount,
        orders.total_amount,
        cast(coalesce(payments.paid_amount, 0) as decimal(18, 2)) as paid_amount,
        cast(
            coalesce(payments.refunded_amount, 0) as decimal(18, 2)
        ) as refunded_amount,
        cast(
            coalesce(payments.paid_amount, 0) - coalesce(payments.refunded_amount, 0)
            as decimal(18, 2)
        ) as net_amount,
        orders.cancelled_at is not null as is_cancelled,
        {{ utc_date('orders.created_at') }} as order_date,
        orders.created_at,
        payments.first_paid_at,
        orders.cancelled_at,
        orders.closed_at,
        orders.updated_at
    from stg_shop__orders as orders
    left outer join int_shop_order_lines_summed_to_orders as line_totals
        on orders.order_id = line_totals.order_id
    left outer join shipping
        on orders.order_id = shipping.order_id
    left outer join int_shop_transactions_summed_to_orders as payments
        on orders.order_id = payments.order_id
)

select * from final
