MODEL (name staging.payments, kind VIEW, audits (not_null(columns := (payment_id)), unique_values(columns := (payment_id))));

SELECT id AS payment_id, order_id, payment_method, cast(amount / 100.0 AS decimal(16, 2)) AS amount FROM raw.payments
