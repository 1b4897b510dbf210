with

fct_orders as (
    select * from {{ ref('fct_orders') }}
),

stg_web_analytics__events as (
    select * from {{ ref('stg_web_analytics__events') }}
),

int_purchases_attributed as (
    select * from {{ ref('int_purchases_attributed') }}
),

purchases as (
    select
        transaction_id,
        session_id,
        purchase_revenue,
        event_at as purchased_at
    from stg_web_analytics__events
    where event_name = 'purchase'
),

first_touches as (
    select
        transaction_id,
        channel
    from int_purchases_attributed
    where attribution_model = 'first_touch'
),

last_touches as (
    select
        transaction_id,
        channel
    from int_purchases_attributed
    where attribution_model = 'last_touch'
),

final as (
    select
        orders.order_id,
        orders.customer_id,
        purchases.session_id,
        first_touches.channel as first_touch_channel,
        last_touches.channel as last_touch_channel,
        orders.total_amount,
        purchases.purchase_revenue,
        purchases.session_id is not null as is_tracked,
        orders.order_date,
        purchases.purchased_at
    from fct_orders as orders
    left outer join purchases
        on {{ as_text('orders.order_id') }} = purchases.transaction_id
    left outer join first_touches
        on purchases.transaction_id = first_touches.transaction_id
    left outer join last_touches
        on purchases.transaction_id = last_touches.transaction_id
    where orders.source_name = 'web'
)

select * from final
