with

stg_web_analytics__events as (
    select * from {{ ref('stg_web_analytics__events') }}
),

fct_sessions as (
    select * from {{ ref('fct_sessions') }}
),

purchases as (
    select
        event_id,
        session_id,
        user_pseudo_id,
        transaction_id,
        purchase_revenue,
        event_at as purchased_at
    from stg_web_analytics__events
    where event_name = 'purchase'
),

touches as (
    select
        purchases.event_id,
        purchases.transaction_id,
        purchases.purchase_revenue,
        purchases.purchased_at,
        sessions.session_id as touch_session_id,
        sessions.channel,
        row_number() over (
            partition by purchases.event_id
            order by sessions.started_at asc, sessions.session_id asc
        ) as first_touch_rank,
        -- a direct visit takes the credit only where nothing else came before
        row_number() over (
            partition by purchases.event_id
            order by
                sessions.channel = 'Direct' asc,
                sessions.started_at desc,
                sessions.session_id asc
        ) as last_touch_rank
    from purchases
    inner join fct_sessions as sessions
        on
            purchases.user_pseudo_id = sessions.user_pseudo_id
            and purchases.purchased_at >= sessions.started_at
),

credited as (
    select
        *,
        'first_touch' as attribution_model
    from touches
    where first_touch_rank = 1

    union all

    select
        *,
        'last_touch' as attribution_model
    from touches
    where last_touch_rank = 1
),

final as (
    select
        attribution_model || ' ' || event_id as attribution_id,
        event_id,
        transaction_id,
        touch_session_id,
        attribution_model,
        channel,
        purchase_revenue,
        purchased_at
    from credited
)

select * from final
