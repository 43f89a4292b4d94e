-- SPDX-License-Identifier: MIT
-- Inserts, an index, joins, aggregates, a recursive query and text functions, in memory.
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INT, price REAL, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO item SELECT i, i * 7919 % 251, (i * 31 % 1000) / 7.0, printf('name-%05d-%d', i * 104729 % 60000, i % 13) FROM n;
CREATE INDEX by_kind ON item(kind, price);
SELECT count(*), sum(length(name)), round(sum(price), 3) FROM item;
SELECT a.kind, count(*), round(max(a.price - b.price), 3) FROM item a JOIN item b ON b.kind = (a.kind * 3) % 251 AND b.price > 142
  WHERE a.id % 20 = 0 GROUP BY a.kind ORDER BY 2 DESC, 1 LIMIT 3;
SELECT substr(name, 6, 2) AS p, count(DISTINCT kind) FROM item WHERE name LIKE '%-7' GROUP BY p ORDER BY p LIMIT 3;
UPDATE item SET name = upper(replace(name, 'name', 'item')) WHERE kind BETWEEN 20 AND 120;
SELECT name FROM item ORDER BY name DESC LIMIT 2 OFFSET 1000;
DELETE FROM item WHERE kind % 2;
SELECT count(*), min(name), max(price) FROM item;
