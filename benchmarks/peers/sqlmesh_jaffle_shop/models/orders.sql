MODEL (name marts.orders, kind FULL, audits (not_null(columns := (order_id)), unique_values(columns := (order_id))));

WITH payments AS (
    SELECT
        order_id,
        sum(amount) FILTER (payment_method = 'credit_card') AS credit_card_amount,
        sum(amount) FILTER (payment_method = 'coupon') AS coupon_amount,
        sum(amount) FILTER (payment_method = 'bank_transfer') AS bank_transfer_amount,
        sum(amount) FILTER (payment_method = 'gift_card') AS gift_card_amount,
        sum(amount) AS amount
    FROM staging.payments
    GROUP BY order_id
)
SELECT
    orders.order_id,
    orders.customer_id,
    orders.status,
    coalesce(payments.credit_card_amount, 0) AS credit_card_amount,
    coalesce(payments.coupon_amount, 0) AS coupon_amount,
    coalesce(payments.bank_transfer_amount, 0) AS bank_transfer_amount,
    coalesce(payments.gift_card_amount, 0) AS gift_card_amount,
    coalesce(payments.amount, 0) AS amount,
    orders.order_date
FROM staging.orders AS orders
LEFT JOIN payments ON orders.order_id = payments.order_id
