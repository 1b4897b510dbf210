with

source as (
    select * from {{ source('shop', 'inventory_level') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        {{ joined_text(['inventory_item_id', "'-'", 'location_id']) }}
            as inventory_level_id,
        inventory_item_id,
        location_id,
        available as available_quantity,
        opening_quantity,
        reorder_quantity,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
