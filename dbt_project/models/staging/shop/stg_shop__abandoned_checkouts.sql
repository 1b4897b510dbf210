with

source as (
    select * from {{ source('shop', 'abandoned_checkout') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as abandoned_checkout_id,
        customer_id,
        email,
        token,
        cart_token,
        source_name,
        currency,
        subtotal_price as subtotal_amount,
        total_tax as tax_amount,
        total_price as total_amount,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
