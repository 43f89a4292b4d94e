-- SPDX-License-Identifier: MIT
-- Traces: made, linked, left by every kind of exit, thrown away and made again; machine code mapped and protected anew all the time.
-- kiln: interp
local jit, ffi, bit = require("jit"), require("ffi"), require("bit")
print("jit", (jit.status()))

local function primes(limit)
  local sieve, count = {}, 0
  for i = 2, limit do sieve[i] = true end
  for i = 2, limit do
    if sieve[i] then
      count = count + 1
      for k = i * i, limit, i do sieve[k] = false end
    end
  end
  return count
end
print("primes", primes(300000))

local function mandelbrot(n)
  local inside = 0
  for y = 0, n - 1 do
    for x = 0, n - 1 do
      local cr, ci, zr, zi, k = 2 * x / n - 1.5, 2 * y / n - 1, 0, 0, 0
      while k < 50 and zr * zr + zi * zi < 4 do zr, zi, k = zr * zr - zi * zi + cr, 2 * zr * zi + ci, k + 1 end
      if k == 50 then inside = inside + 1 end
    end
  end
  return inside
end
print("mandelbrot", mandelbrot(120))

-- Code that exists for a moment: every flush forgets all traces.
local total = 0
for round = 1, 60 do
  local f = loadstring("local s = 0 for i = 1, 300 do s = s + i % " .. round .. " end return s")
  for _ = 1, 5 do total = total + f() end
  if round % 4 == 0 then jit.flush() end
end
print("rounds", total)

-- Types that change under a trace.
local function mixed(list)
  local numbers, strings, tables = 0, 0, 0
  for i = 1, #list do
    local v = list[i]
    if type(v) == "number" then numbers = numbers + v
    elseif type(v) == "string" then strings = strings + #v
    else tables = tables + v.n end
  end
  return numbers, strings, tables
end
local list = {}
for i = 1, 3000 do list[i] = i % 3 == 0 and i or i % 3 == 1 and ("x"):rep(i % 10) or setmetatable({}, { __index = { n = i } }) end
for _ = 1, 20 do mixed(list) end
print("mixed", mixed(list))

ffi.cdef [[
  typedef struct { double x, y; int32_t n[4]; } point;
  void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
  int snprintf(char *to, size_t size, const char *format, ...);
]]
local points = ffi.new("point[?]", 1000)
for i = 0, 999 do points[i].x, points[i].n[i % 4] = i / 2, i end
local sum = 0
for _ = 1, 50 do for i = 0, 999 do sum = sum + points[i].x + points[i].n[i % 4] end end
print("ffi", sum)

local numbers, calls = ffi.new("int32_t[200]"), 0
for i = 0, 199 do numbers[i] = (i * 7919) % 200 end
local compare = ffi.cast("int (*)(const void *, const void *)", function(a, b) -- machine code that calls back into Lua
  calls = calls + 1
  return ffi.cast("const int32_t *", a)[0] - ffi.cast("const int32_t *", b)[0]
end)
ffi.C.qsort(numbers, 200, 4, compare)
compare:free()
local sorted = true
for i = 0, 199 do sorted = sorted and numbers[i] == i end
print("callback", sorted, calls > 200)

local text = ffi.new("char[64]")
local length = 0
for i = 1, 2000 do length = length + ffi.C.snprintf(text, 64, "%d %s", ffi.cast("int", i), "text") end
print("calls", length, bit.bxor(bit.lshift(1, 20), 0xff))

local function generate(n) for i = 1, n do coroutine.yield(i) end end
local yielded = 0
for _ = 1, 100 do for v in coroutine.wrap(function() generate(100) end) do yielded = yielded + v end end
print("coroutines", yielded)

local function deep(n) return 1 + deep(n + 1) end
print("overflow", pcall(deep, 0), select(2, pcall(error, { 1 }))[1])
