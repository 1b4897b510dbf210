with

stg_shop__products as (
    select * from {{ ref('stg_shop__products') }}
),

stg_shop__product_variants as (
    select * from {{ ref('stg_shop__product_variants') }}
),

fct_order_lines as (
    select * from {{ ref('fct_order_lines') }}
),

variants as (
    select
        product_id,
        count(*) as number_of_variants,
        cast(min(price) as decimal(18, 2)) as lowest_price,
        cast(max(price) as decimal(18, 2)) as highest_price
    from stg_shop__product_variants
    group by product_id
),

sales as (
    select
        product_id,
        cast(sum(quantity) as bigint) as ordered_quantity,
        cast(sum(returned_quantity) as bigint) as returned_quantity,
        cast(sum(net_amount) as decimal(18, 2)) as ordered_amount
    from fct_order_lines
    group by product_id
),

final as (
    select
        products.product_id,
        products.product_title,
        products.handle,
        products.product_type,
        products.vendor,
        products.product_status,
        coalesce(variants.number_of_variants, 0) as number_of_variants,
        variants.lowest_price,
        variants.highest_price,
        coalesce(sales.ordered_quantity, 0) as ordered_quantity,
        coalesce(sales.returned_quantity, 0) as returned_quantity,
        cast(coalesce(sales.ordered_amount, 0) as decimal(18, 2)) as ordered_amount,
        products.created_at,
        products.updated_at
    from stg_shop__products as products
    left outer join variants
        on products.product_id = variants.product_id
    left outer join sales
        on products.product_id = sales.product_id
)

select * from final
