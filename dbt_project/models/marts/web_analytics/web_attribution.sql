with

int_purchases_attributed as (
    select * from {{ ref('int_purchases_attributed') }}
),

final as (
    select
        attribution_model || ' ' || channel as attribution_id,
        attribution_model,
        channel,
        count(*) as purchases,
        cast(sum(purchase_revenue) as decimal(16, 2)) as attributed_revenue
    from int_purchases_attributed
    group by attribution_model, channel
)

select * from final
