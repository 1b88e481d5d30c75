-- Typst: floats, layouts and formulas as calls of the functions in page/paper_template.typ.
local common = require 'common'
local tables = require 'tables'
local M = {}
local work = os.getenv 'RENDER_WORK' or '.'
local images = 0

local function raw(text) return pandoc.RawBlock('typst', text) end
local function inline(text) return pandoc.RawInline('typst', text) end

-- What no font here has is named: pdf.py says which characters these are.
local unset = {}
for point in (os.getenv 'RENDER_UNSET' or ''):gmatch '%x+' do unset[tonumber(point, 16)] = true end

local function named(text)
  if not next(unset) then return text end
  return (text:gsub(utf8.charpattern, function(character)
    local point = utf8.codepoint(character)
    if unset[point] then return string.format('[U+%04X]', point) end
  end))
end

local escapes = {['\\'] = '\\\\', ['"'] = '\\"', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t'}

-- A Typst string literal. All text is written as such: in markup, what follows a `]` or `$` may be read as
-- code, and what begins a line as a list.
local function literal(text)
  return '"' .. named(text):gsub('[\\"\n\r\t]', escapes) .. '"'
end

local function quoted(text)
  return (literal(text:gsub('%s+', ' ')))
end

local function plain(point) -- not part of a character that several code points make
  return point < 0x300 or (point >= 0x370 and point < 0x590) or (point >= 0x2e80 and point < 0xd800)
end

-- Runs of more than `longest` characters may be broken, after so many at a time.
local function breakable(text, longest, every)
  if #text <= longest then return text end
  local result, start = {}, 1
  for first, run, last in text:gmatch '()([^%s]+)()' do
    table.insert(result, text:sub(start, first - 1))
    local pieces, count, before = {}, 0, 0
    for _, point in utf8.codes(run) do
      if point == 0x200b then count = 0 end
      if count > 0 and count % every == 0 and plain(point) and plain(before) then table.insert(pieces, '\u{200b}') end
      table.insert(pieces, utf8.char(point))
      count, before = count + 1, point
    end
    table.insert(result, (utf8.len(run) or 0) > longest and table.concat(pieces) or run)
    start = last
  end
  table.insert(result, text:sub(start))
  return table.concat(result)
end

local function text(shown) return inline('#' .. literal(breakable(shown, 24, 12)) .. ';') end

local function code(element) return inline('#raw(' .. literal(breakable(element.text, 24, 12)) .. ');') end

local function listing(block)
  local language = block.classes[1] and ', lang: ' .. quoted(block.classes[1]) or ''
  return raw('#raw(' .. literal(breakable(block.text, 40, 20)) .. ', block: true' .. language .. ')')
end

local function quotation(element)
  local single = element.quotetype == 'SingleQuote'
  local inlines = pandoc.Inlines {text(single and '‘' or '“')}
  inlines:extend(element.content)
  inlines:insert(text(single and '’' or '”'))
  return inlines
end

-- 50% and lengths that Typst knows; anything else is left to the page.
local function length(value)
  if not value then return nil end
  local number, unit = value:match '^([%d.]+)(%a*%%?)$'
  if number and (unit == '%' or unit == 'in' or unit == 'cm' or unit == 'mm' or unit == 'pt') then return value end
  if number and (unit == '' or unit == 'px') then return tonumber(number) * 0.75 .. 'pt' end
end

local function image(element)
  local content = common.read_image(element.src)
  if not content then return nil end
  images = images + 1
  local name = 'image-' .. images .. '.' .. (element.src:match '%.(%w+)$' or 'png')
  local file = assert(io.open(work .. '/' .. name, 'wb'))
  file:write(content)
  file:close()
  local arguments = {quoted(name)}
  local alt = common.alt(element)
  if alt ~= '' then table.insert(arguments, 'alt: ' .. quoted(alt)) end
  for _, side in ipairs {'width', 'height'} do
    local given = length(element.attributes[side])
    if given then table.insert(arguments, side .. ': ' .. given) end
  end
  return inline('#box(image(' .. table.concat(arguments, ', ') .. '))')
end

-- Symbols by the names that Typst has for them; pandoc still writes the former ones.
local function symbols(code)
  for _, sign in ipairs {'dot', 'times', 'minus'} do code = code:gsub('%f[%a]' .. sign .. '%.circle', sign .. '.o') end
  return (code:gsub('%f[%w]sect%f[%W]', 'inter'))
end

-- Typst of a formula with those names, and what no font has named: as words, or within those there are.
local function settable(code)
  local made, part, within, escaped = {}, {}, false, false
  local function finish()
    local text = table.concat(part)
    if not within then text = symbols(text) end
    table.insert(made, (named(text):gsub('%[U%+%x+%]', within and '%0' or '"%0"')))
    part = {}
  end
  for character in code:gmatch(utf8.charpattern) do
    if character == '"' and not escaped then
      finish()
      table.insert(made, character)
      within = not within
    else
      table.insert(part, character)
    end
    escaped = character == '\\' and not escaped
  end
  finish()
  return table.concat(made)
end

-- Formulas say themselves in TeX to those who do not see them, as PDF/UA asks.
local function formula(element)
  local typst = settable((pandoc.write(pandoc.Pandoc {pandoc.Plain {element}}, 'typst'):gsub('%s+$', '')))
  local block = element.mathtype == 'DisplayMath' and 'block: true, ' or ''
  return inline('#math.equation(' .. block .. 'alt: ' .. quoted(element.text) .. ', ' .. typst .. ')')
end

local function equation(span, index)
  if not common.has_class(span, 'equation') then return nil end
  local call = span.content[1].text:gsub('^#math%.equation%(', '')
  local number = '"(' .. index[span.identifier].number .. ')"'
  return inline('#math.equation(numbering: (..) => ' .. number .. ', ' .. call .. ' <' .. span.identifier .. '>')
end

local function float(div, index)
  local kind = common.float_kind(div)
  local entry = index[div.identifier]
  local content, caption = common.split_caption(div.content)
  local blocks = pandoc.Blocks {raw '#figure(['}
  blocks:extend(content)
  local place = kind == 'tbl' and 'top' or 'bottom'
  local separator = entry.sub and 'separator: [ ], ' or (#caption == 0 and 'separator: [], ' or '')
  local tail = pandoc.Inlines {inline('], caption: figure.caption(position: ' .. place .. ', ' .. separator .. '[')}
  tail:extend(caption)
  local supplement = entry.sub and '[]' or quoted(common.titles[kind])
  tail:insert(inline(']), kind: "quarto-' .. (entry.sub and 'sub' or '') .. 'float-' .. kind .. '", supplement: ' .. supplement
    .. ', numbering: (..) => ' .. quoted(entry.number) .. ') <' .. div.identifier .. '>'))
  blocks:insert(pandoc.Plain(tail))
  return blocks
end

local function wrapped(div, before, after)
  local blocks = pandoc.Blocks {raw(before)}
  blocks:extend(div.content)
  blocks:insert(raw(after))
  return blocks
end

local function division(div, index)
  if common.float_kind(div) then return float(div, index) end
  if common.has_class(div, 'quarto-layout-cell') then return wrapped(div, '[', '],') end
  if common.has_class(div, 'quarto-layout-panel') then
    return wrapped(div, '#grid(columns: (1fr,) * ' .. div.attributes.ncol .. ', gutter: 1.2em,', ')')
  end
  if common.has_class(div, 'cell') or common.has_class(div, 'cell-output') then return div.content end
end

-- What a table's widths depend on, known to the divs around it.
local function prepared(div)
  div.content = common.set_widths(div.content, div.attributes['tbl-colwidths'])
  div.attributes['tbl-colwidths'] = nil
  return div
end

local function grid(element)
  local fitted, scale = tables.fitted(element, breakable)
  if not fitted then
    local words = pandoc.utils.stringify(element.head):match '%S+' or ''
    common.problem(words, 'a table of ' .. #element.colspecs .. ' columns does not fit the PDF\'s page: split it, turn it '
      .. 'round, or show it in the page only, inside ::: {.content-visible when-format="html"}.')
    return element
  end
  element.classes = pandoc.List {'typst:no-figure'}
  local smaller = scale < 1 and '#set text(size: ' .. scale .. 'em)' or ''
  return {raw('#align(center)[' .. smaller), element, raw ']'}
end

function M.render(doc, index)
  doc = doc:walk {Math = formula, Image = image, Div = prepared}
  doc = doc:walk {Table = grid}
  return doc:walk { -- last, since it turns words into code
    Span = function(span) return equation(span, index) end,
    Str = function(str) return text(str.text) end,
    Code = code,
    CodeBlock = listing,
    Quoted = quotation,
    Div = function(div) return division(div, index) end,
  }
end

return M
