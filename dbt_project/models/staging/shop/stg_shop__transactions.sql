with

source as (
    select * from {{ source('shop', 'transaction') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as transaction_id,
        order_id,
        refund_id,
        parent_id as parent_transaction_id,
        kind as transaction_kind,
        status as transaction_status,
        gateway,
        message as gateway_message,
        currency,
        amount,
        test as is_test,
        created_at,
        processed_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
