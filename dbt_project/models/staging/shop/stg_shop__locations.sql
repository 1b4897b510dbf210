with

source as (
    select * from {{ source('shop', 'location') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as location_id,
        name as location_name,
        address_1,
        city,
        province_code,
        country_code,
        active as is_active,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
