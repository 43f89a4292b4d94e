-- The Mandelbrot set in letters: each shows how long its point took to get away.
local width, height, limit = 72, 18, 60000
local shades = " .:-=+*#%@"
for row = 0, height - 1 do
  local line = {}
  for column = 0, width - 1 do
    local cx, cy = column / width * 3.2 - 2.2, row / (height - 1) * 2.4 - 1.2
    local x, y, steps = 0.0, 0.0, 0
    while x * x + y * y < 4 and steps < limit do
      x, y, steps = x * x - y * y + cx, 2 * x * y + cy, steps + 1
    end
    local shade = steps == limit and #shades or 1 + steps // 2 % (#shades - 1)
    line[#line + 1] = shades:sub(shade, shade)
  end
  print((table.concat(line):gsub(" +$", "")))
end
