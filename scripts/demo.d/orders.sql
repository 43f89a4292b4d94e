-- A shop's 300,000 made-up orders, by customer and by year.
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, day TEXT, cents INTEGER);
INSERT INTO orders
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
  SELECT i, 'customer ' || (i * 7919 % 997), date('2020-01-01', (i * 31 % 2190) || ' days'), i * 104729 % 100000 FROM n;
CREATE INDEX by_customer ON orders(customer, cents);
.mode column
.headers on
SELECT customer, count(*) AS orders, sum(cents) / 100.0 AS spent FROM orders GROUP BY customer ORDER BY spent DESC LIMIT 3;
SELECT substr(day, 1, 4) AS year, count(*) AS orders, sum(cents) / 100.0 AS taken FROM orders GROUP BY year LIMIT 3;
