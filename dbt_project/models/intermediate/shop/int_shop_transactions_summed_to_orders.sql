with

stg_shop__transactions as (
    select * from {{ ref('stg_shop__transactions') }}
),

final as (
    select
        order_id,
        cast(sum(
            case when transaction_kind in ('sale', 'capture') then amount else 0 end
        ) as decimal(18, 2)) as paid_amount,
        cast(sum(
            case when transaction_kind = 'refund' then amount else 0 end
        ) as decimal(18, 2)) as refunded_amount,
        min(
            case when transaction_kind in ('sale', 'capture') then created_at end
        ) as first_paid_at
    from stg_shop__transactions
    where transaction_status = 'success'
    group by order_id
)

select * from final
