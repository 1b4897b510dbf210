with

source as (
    select * from {{ source('shop', 'order') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as order_id,
        customer_id,
        location_id,
        name as order_name,
        email,
        token,
        cart_token,
        source_name,
        currency,
        presentment_currency,
        financial_status,
        fulfillment_status,
        cancel_reason,
        note as customer_note,
        browser_ip,
        billing_address_first_name,
        billing_address_last_name,
        billing_address_address_1,
        billing_address_city,
        billing_address_province,
        billing_address_province_code,
        billing_address_zip,
        billing_address_country,
        billing_address_country_code,
        billing_address_phone,
        shipping_address_first_name,
        shipping_address_last_name,
        shipping_address_address_1,
        shipping_address_city,
        shipping_address_province,
        shipping_address_province_code,
        shipping_address_zip,
        shipping_address_country,
        shipping_address_country_code,
        shipping_address_phone,
        order_number,
        total_weight as weight_grams,
        total_line_items_price as lines_amount,
        total_discounts as discount_amount,
        subtotal_price as subtotal_amount,
        total_tax as tax_amount,
        total_shipping as shipping_amount,
        total_price as total_amount,
        total_received as received_amount,
        total_refunded as refunded_amount,
        total_outstanding as outstanding_amount,
        taxes_included as is_tax_included,
        test as is_test,
        confirmed as is_confirmed,
        buyer_accepts_marketing as is_marketing_accepted,
        created_at,
        processed_at,
        cancelled_at,
        closed_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
