with

source as (
    select * from {{ source('shop', 'product') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as product_id,
        title as product_title,
        handle,
        product_type,
        vendor,
        status as product_status,
        created_at,
        published_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
