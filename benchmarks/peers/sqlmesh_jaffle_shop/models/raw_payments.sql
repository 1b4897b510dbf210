MODEL (name raw.payments, kind FULL);

SELECT * FROM read_csv(@files || '/raw_payments.csv')
