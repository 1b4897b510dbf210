with

stg_web_analytics__events as (
    select * from {{ ref('stg_web_analytics__events') }}
),

page_views as (
    select *
    from stg_web_analytics__events
    where event_name = 'page_view'
),

final as (
    select
        event_id as page_view_id,
        session_id,
        user_pseudo_id,
        page_location,
        page_title,
        page_referrer,
        cast(
            row_number() over (
                partition by session_id
                order by event_at, event_number
            ) as bigint
        ) as page_view_number,
        event_date as page_view_date,
        event_at as viewed_at
    from page_views
)

select * from final
