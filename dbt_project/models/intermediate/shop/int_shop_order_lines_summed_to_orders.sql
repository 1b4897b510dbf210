with

stg_shop__order_lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

stg_shop__tax_lines as (
    select * from {{ ref('stg_shop__tax_lines') }}
),

taxes_by_line as (
    select
        order_line_id,
        sum(tax_amount) as tax_amount
    from stg_shop__tax_lines
    group by order_line_id
),

final as (
    select
        order_lines.order_id,
        count(*) as number_of_lines,
        cast(sum(order_lines.quantity) as bigint) as quantity,
        cast(
            sum(order_lines.unit_price * order_lines.quantity) as decimal(18, 2)
        ) as lines_amount,
        cast(sum(order_lines.discount_amount) as decimal(18, 2)) as discount_amount,
        cast(sum(coalesce(taxes.tax_amount, 0)) as decimal(18, 2)) as tax_amount
    from stg_shop__order_lines as order_lines
    left outer join taxes_by_line as taxes
        on order_lines.order_line_id = taxes.order_line_id
    group by order_lines.order_id
)

select * from final
