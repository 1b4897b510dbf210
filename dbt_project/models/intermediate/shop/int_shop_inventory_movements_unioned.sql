with

stg_shop__orders as (
    select * from {{ ref('stg_shop__orders') }}
),

stg_shop__order_lines as (
    select * from {{ ref('stg_shop__order_lines') }}
),

stg_shop__product_variants as (
    select * from {{ ref('stg_shop__product_variants') }}
),

stg_shop__refunds as (
    select * from {{ ref('stg_shop__refunds') }}
),

stg_shop__order_line_refunds as (
    select * from {{ ref('stg_shop__order_line_refunds') }}
),

lines as (
    select
        order_lines.order_line_id,
        {{ joined_text(['variants.inventory_item_id', "'-'", 'orders.location_id']) }}
            as inventory_level_id,
        order_lines.quantity,
        orders.created_at,
        orders.cancelled_at
    from stg_shop__order_lines as order_lines
    inner join stg_shop__orders as orders
        on order_lines.order_id = orders.order_id
    inner join stg_shop__product_variants as variants
        on order_lines.variant_id = variants.variant_id
),

sold as (
    select
        inventory_level_id,
        'sold' as movement,
        quantity,
        {{ utc_date('created_at') }} as movement_date
    from lines
),

released as (
    select
        inventory_level_id,
        'released' as movement,
        quantity,
        {{ utc_date('cancelled_at') }} as movement_date
    from lines
    where cancelled_at is not null
),

restocked as (
    select
        lines.inventory_level_id,
        'restocked' as movement,
        line_refunds.quantity,
        {{ utc_date('refunds.created_at') }} as movement_date
    from stg_shop__order_line_refunds as line_refunds
    inner join stg_shop__refunds as refunds
        on line_refunds.refund_id = refunds.refund_id
    inner join lines
        on line_refunds.order_line_id = lines.order_line_id
    where line_refunds.restock_type = 'return'
),

final as (
    select * from sold
    union all
    select * from released
    union all
    select * from restocked
)

select * from final
