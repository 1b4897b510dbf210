with

source as (
    select * from {{ source('shop', 'inventory_item') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as inventory_item_id,
        sku,
        country_code_of_origin,
        cost as unit_cost,
        tracked as is_tracked,
        requires_shipping as is_shipped,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
