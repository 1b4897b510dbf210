with

source as (
    select * from {{ source('shop', 'tender_transaction') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as tender_transaction_id,
        order_id,
        transaction_id,
        currency,
        payment_method,
        amount,
        test as is_test,
        processed_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
