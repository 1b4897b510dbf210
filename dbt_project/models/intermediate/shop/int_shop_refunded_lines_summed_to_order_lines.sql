with

stg_shop__order_line_refunds as (
    select * from {{ ref('stg_shop__order_line_refunds') }}
),

final as (
    select
        order_line_id,
        cast(sum(quantity) as bigint) as returned_quantity,
        cast(sum(subtotal_amount) as decimal(18, 2)) as returned_amount,
        cast(sum(tax_amount) as decimal(18, 2)) as returned_tax_amount
    from stg_shop__order_line_refunds
    group by order_line_id
)

select * from final
