with

source as (
    select * from {{ source('shop', 'order_adjustment') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as order_adjustment_id,
        order_id,
        refund_id,
        kind as adjustment_kind,
        reason as adjustment_reason,
        amount,
        tax_amount,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
