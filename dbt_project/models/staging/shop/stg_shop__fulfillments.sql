with

source as (
    select * from {{ source('shop', 'fulfillment') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as fulfillment_id,
        order_id,
        location_id,
        name as fulfillment_name,
        status as fulfillment_status,
        shipment_status,
        service as fulfillment_service,
        tracking_company,
        tracking_number,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
