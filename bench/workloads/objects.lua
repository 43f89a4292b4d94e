-- SPDX-License-Identifier: MIT
-- Tables, closures, strings and a sort: objects.lua SIZE
local size = tonumber(arg[1])

local Account = {}
Account.__index = Account
function Account.new(id) return setmetatable({ id = id, balance = 0, log = {} }, Account) end
function Account:deposit(amount)
  self.balance = (self.balance + amount) % 1000003
  self.log[#self.log + 1] = amount
end

local state = 42
local function random(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return state // 65536 % limit
end

local accounts = {}
for i = 1, 500 do accounts[i] = Account.new(i) end
for i = 1, size * 10 do accounts[random(500) + 1]:deposit(i % 977) end
table.sort(accounts, function(a, b) return a.balance < b.balance or a.balance == b.balance and a.id < b.id end)

local words = {}
for i = 1, size do
  local word = string.format("%05d-%s", i, string.rep(string.char(97 + i % 26), i % 7 + 1))
  words[i] = word:gsub("(%d+)%-(%a)", "%2%1"):upper()
end
local count = {}
for _, word in ipairs(words) do
  for c in word:gmatch("%a") do count[c] = (count[c] or 0) + 1 end
end
local keys = {}
for key in pairs(count) do keys[#keys + 1] = key end
table.sort(keys)

local sum = 0.0
for i = 1, size * 20 do sum = sum + math.sqrt(i) / (i % 13 + 1) end
print(accounts[1].id, accounts[500].balance, #keys, keys[1], count[keys[1]], string.format("%.6f", sum))
