with

source as (
    select * from {{ source('shop', 'customer') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as customer_id,
        default_address_id,
        email,
        first_name,
        last_name,
        phone,
        state as account_state,
        currency,
        orders_count,
        total_spent,
        verified_email as is_email_verified,
        tax_exempt as is_tax_exempt,
        accepts_marketing as is_marketing_accepted,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
