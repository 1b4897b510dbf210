with

source as (
    select * from {{ source('shop', 'refund') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as refund_id,
        order_id,
        note as refund_reason,
        restock as is_restocked,
        created_at,
        processed_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
