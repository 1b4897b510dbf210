{%- set payment_methods = ['credit_card', 'coupon', 'bank_transfer', 'gift_card'] -%}

with

stg_jaffle_shop__payments as (
    select * from {{ ref('stg_jaffle_shop__payments') }}
),

final as (
    select
        order_id,
        {% for payment_method in payment_methods -%}
            cast(sum(
                case
                    when payment_method = '{{ payment_method }}' then amount else 0
                end
            ) as decimal(16, 2)) as {{ payment_method }}_amount,
        {% endfor -%}
        cast(sum(amount) as decimal(16, 2)) as amount
    from stg_jaffle_shop__payments
    group by order_id
)

select * from final
