with

source as (
    select * from {{ source('shop', 'product_variant') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as variant_id,
        product_id,
        inventory_item_id,
        title as variant_title,
        option_1 as option_value,
        sku,
        barcode,
        position as variant_number,
        price,
        grams,
        taxable as is_taxable,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
