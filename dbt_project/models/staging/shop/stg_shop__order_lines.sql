with

source as (
    select * from {{ source('shop', 'order_line') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as order_line_id,
        order_id,
        product_id,
        variant_id,
        name as line_name,
        title as product_title,
        variant_title,
        sku,
        vendor,
        index as line_number,
        quantity,
        grams as unit_weight_grams,
        price as unit_price,
        total_discount as discount_amount,
        pre_tax_price as net_amount,
        taxable as is_taxable,
        requires_shipping as is_shipped,
        gift_card as is_gift_card,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
