with

stg_shop__order_lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

stg_shop__tax_lines as (
    select * from {{ ref('stg_shop__tax_lines') }}
),

int_shop_refunded_lines_summed_to_order_lines as (
    select * from {{ ref('int_shop_refunded_lines_summed_to_order_lines') }}
),

fct_orders as (
    select * from {{ ref('fct_orders') }}
),

taxes as (
    select
        order_line_id,
        cast(sum(tax_amount) as decimal(18, 2)) as tax_amount
    from stg_shop__tax_lines
    group by order_line_id
),

final as (
    select
        order_lines.order_line_id,
        order_lines.order_id,
        orders.customer_id,
        order_lines.product_id,
        order_lines.variant_id,
        order_lines.sku,
        order_lines.product_title,
        order_lines.variant_title,
        order_lines.vendor,
        order_lines.line_number,
        order_lines.quantity,
        order_lines.unit_price,
        cast(
            order_lines.unit_price * order_lines.quantity as decimal(18, 2)
        ) as gross_amount,
        order_lines.discount_amount,
        order_lines.net_amount,
        cast(coalesce(taxes.tax_amount, 0) as decimal(18, 2)) as tax_amount,
        coalesce(returned.returned_quantity, 0) as returned_quantity,
        cast(
            coalesce(returned.returned_amount, 0) as decimal(18, 2)
        ) as returned_amount,
        cast(
            coalesce(returned.returned_tax_amount, 0) as decimal(18, 2)
        ) as returned_tax_amount,
        orders.order_date,
        orders.created_at
    from stg_shop__order_lines as order_lines
    inner join fct_orders as orders
        on order_lines.order_id = orders.order_id
    left outer join taxes
        on order_lines.order_line_id = taxes.order_line_id
    left outer join int_shop_refunded_lines_summed_to_order_lines as returned
        on order_lines.order_line_id = returned.order_line_id
)

select * from final
