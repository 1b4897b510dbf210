with

stg_shop__refunds as (
    select * from {{ ref('stg_shop__refunds') }}
),

stg_shop__order_line_refunds as (
    select * from {{ ref('stg_shop__order_line_refunds') }}
),

stg_shop__order_adjustments as (
    select * from {{ ref('stg_shop__order_adjustments') }}
),

stg_shop__transactions as (
    select * from {{ ref('stg_shop__transactions') }}
),

stg_shop__orders as (
    select * from {{ ref('stg_shop__orders') }}
),

lines as (
    select
        refund_id,
        cast(sum(quantity) as bigint) as quantity,
        cast(sum(subtotal_amount) as decimal(18, 2)) as lines_amount,
        cast(sum(tax_amount) as decimal(18, 2)) as tax_amount
    from stg_shop__order_line_refunds
    group by refund_id
),

adjustments as (
    -- what is given back is below zero there
    select
        refund_id,
        cast(sum(
            case
                when adjustment_kind = 'shipping_refund'
                    then -(amount + tax_amount)
                else 0
            end
        ) as decimal(18, 2)) as shipping_amount,
        cast(sum(
            case
                when adjustment_kind = 'shipping_refund' then 0
                else -(amount + tax_amount)
            end
        ) as decimal(18, 2)) as discrepancy_amount
    from stg_shop__order_adjustments
    group by refund_id
),

payments as (
    select
        refund_id,
        cast(sum(amount) as decimal(18, 2)) as refunded_amount
    from stg_shop__transactions
    where transaction_kind = 'refund' and transaction_status = 'success'
    group by refund_id
),

final as (
    select
        refunds.refund_id,
        refunds.order_id,
        orders.customer_id,
        refunds.refund_reason,
        coalesce(lines.quantity, 0) as quantity,
        cast(coalesce(lines.lines_amount, 0) as decimal(18, 2)) as lines_amount,
        cast(coalesce(lines.tax_amount, 0) as decimal(18, 2)) as tax_amount,
        cast(
            coalesce(adjustments.shipping_amount, 0) as decimal(18, 2)
        ) as shipping_amount,
        cast(
            coalesce(adjustments.discrepancy_amount, 0) as decimal(18, 2)
        ) as discrepancy_amount,
        cast(
            coalesce(payments.refunded_amount, 0) as decimal(18, 2)
        ) as refunded_amount,
        refunds.is_restocked,
        {{ utc_date('refunds.created_at') }} as refund_date,
        refunds.created_at
    from stg_shop__refunds as refunds
    inner join stg_shop__orders as orders
        on refunds.order_id = orders.order_id
    left outer join lines
        on refunds.refund_id = lines.refund_id
    left outer join adjustments
        on refunds.refund_id = adjustments.refund_id
    left outer join payments
        on refunds.refund_id = payments.refund_id
)

select * from final
