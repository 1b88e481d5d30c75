-- Tables that fit the PDF's page: no word is wider than its column. Lengths are in ems of the table's text.
local M = {}
local TABLE = 0.84 -- of the text's size: styles/paper.typ
local INSET = 8 -- points beside a cell's text, left and right together
local SMALLEST = 0.6 -- of the table's usual size; beyond that words are broken

-- Room in points beside the margins, and the text's size: pdf.py says them.
local room_in_points, size = (os.getenv 'RENDER_PAGE' or '459 10.5'):match '(%S+) (%S+)'

-- Hundredths of an em that Libertinus takes for the characters from the space to the tilde.
local advance = {}
for number in ([[25 29 34 46 46 64 70 19 30 30 37 55 22 34 22 32 46 46 46 46 46 46 46 46 46 46 24 24 55 55 55 44
  90 70 59 65 70 56 48 68 73 30 32 64 53 84 70 70 54 70 59 48 60 66 65 95 66 58 60 36 29 36 52 49
  39 46 49 43 51 45 31 50 54 27 27 51 26 79 54 50 52 50 37 39 32 53 50 75 49 52 42 28 20 28 45]]):gmatch '%d+' do
  table.insert(advance, number / 100)
end
local BOLD, MONOSPACED = 1.1, 1.2 -- so much wider

local function width(text, factor)
  local ems = 0
  for _, point in utf8.codes(text) do
    ems = ems + (advance[point - 31] or (point >= 0x2e80 and 1) or (point == 0x200b and 0) or 0.55)
  end
  return ems * factor
end

local function factor_of(cell, bold)
  local coded = false
  cell.contents:walk {Code = function() coded = true end}
  return (bold and BOLD or 1) * (coded and MONOSPACED or 1)
end

local function cells(element)
  local found = {}
  local function rows(list, bold)
    for _, row in ipairs(list) do
      local column = 1
      for _, cell in ipairs(row.cells) do
        table.insert(found, {cell = cell, column = column, span = cell.col_span, factor = factor_of(cell, bold)})
        column = column + cell.col_span
      end
    end
  end
  rows(element.head.rows, true)
  for _, body in ipairs(element.bodies) do
    rows(body.head, true)
    rows(body.body, false)
  end
  rows(element.foot.rows, false)
  return found
end

-- Of each column, its longest word and its longest line.
local function needs(element, listed)
  local word, line = {}, {}
  for column = 1, #element.colspecs do word[column], line[column] = 0.5, 0.5 end
  for _, one in ipairs(listed) do
    if one.span == 1 then
      local text = pandoc.utils.stringify(one.cell.contents)
      line[one.column] = math.max(line[one.column], width(text, one.factor))
      for part in text:gsub('\u{200b}', ' '):gmatch '%S+' do
        word[one.column] = math.max(word[one.column], width(part, one.factor))
      end
    end
  end
  return word, line
end

local function sum(list)
  local total = 0
  for _, value in ipairs(list) do total = total + value end
  return total
end

-- Typst gives columns of no set width what they ask for, and an equal share of the rest to those that
-- ask for more: whether every word has room so.
local function room_for_words(word, line, room)
  local left, open = room, #line
  local order = {}
  for column in ipairs(line) do order[column] = column end
  table.sort(order, function(a, b) return line[a] < line[b] end)
  for _, column in ipairs(order) do
    local given = math.min(line[column], left / open)
    if given < word[column] then return false end
    left, open = left - given, open - 1
  end
  return true
end

-- The longest that a word may be, for columns of words so long to share the room.
local function cap(word, room)
  local low, high = 0, math.max(table.unpack(word))
  for _ = 1, 30 do
    local middle = (low + high) / 2
    local total = 0
    for _, ems in ipairs(word) do total = total + math.min(ems, middle) end
    if total <= room then low = middle else high = middle end
  end
  return low
end

-- Each column its words, and of what is left a share by how much longer its lines are.
local function shares(word, line, room)
  local wanted = sum(line) - sum(word)
  local left = math.max(0, room - sum(word))
  local result = {}
  for column in ipairs(word) do
    local extra = wanted > 0 and left * (line[column] - word[column]) / wanted or left / #word
    result[column] = word[column] + math.min(extra, math.max(0, line[column] - word[column]))
  end
  return result
end

-- Break the words of a column that are wider than `ems`.
local function break_words(listed, limits, breakable)
  for _, one in ipairs(listed) do
    local limit = one.span == 1 and limits[one.column]
    if limit then
      local every = math.max(1, math.floor(limit / one.factor / 0.6))
      local function broken(inline)
        if width(inline.text, one.factor) > limit then inline.text = breakable(inline.text, every, every) end
        return inline
      end
      one.cell.contents = one.cell.contents:walk {Str = broken, Code = broken}
    end
  end
end

-- The widths that a table's columns are given, without what is beside their text; nothing if it is none.
local function given(element, page, em)
  local set, columns = 0, #element.colspecs
  for _, spec in ipairs(element.colspecs) do set = set + (type(spec[2]) == 'number' and spec[2] or 0) end
  if set == 0 then return nil end
  local widths = {}
  for column, spec in ipairs(element.colspecs) do
    local share = type(spec[2]) == 'number' and spec[2] or math.max(0, 1 - set) / columns
    widths[column] = (share / math.max(1, set) * page - INSET) / em
  end
  return widths
end

local function all_fit(word, widths)
  for column, ems in ipairs(widths) do
    if word[column] > ems + 0.3 then return false end -- less than what is beside the text
  end
  return true
end

-- The table with widths that its words fit into, and the share of its usual size that it takes; nothing
-- if not even single letters fit. `breakable(text, longest, every)` breaks words.
function M.fitted(element, breakable)
  local em = TABLE * tonumber(size)
  local page = tonumber(room_in_points)
  local room = (page - INSET * #element.colspecs) / em
  local listed = cells(element)
  local word, line = needs(element, listed)
  local widths = given(element, page, em)
  if widths and all_fit(word, widths) or not widths and (sum(line) <= room or room_for_words(word, line, room)) then
    return element, 1
  end
  local scale = math.max(SMALLEST, math.min(1, room / sum(word)))
  room = room / scale
  local longest, limits = cap(word, room), {}
  if longest < 1.5 then return nil end
  for column in ipairs(word) do
    if word[column] > longest + 0.3 then word[column], limits[column] = longest, longest end
    line[column] = math.max(word[column], widths and widths[column] or line[column])
  end
  local share = shares(word, line, room)
  element.colspecs = element.colspecs:map(function(spec, column)
    return {spec[1], (share[column] * em * scale + INSET) / page}
  end)
  break_words(listed, limits, breakable)
  return element, scale
end

return M
