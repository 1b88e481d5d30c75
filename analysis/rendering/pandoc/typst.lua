-- Typst: floats, callouts, layouts and formulas as calls of the functions in page/paper_template.typ.
local common = require 'common'
local M = {}
local work = os.getenv 'RENDER_WORK' or '.'
local images = 0

local function raw(text) return pandoc.RawBlock('typst', text) end
local function inline(text) return pandoc.RawInline('typst', text) end

-- A Typst string literal.
local function quoted(text)
  return '"' .. text:gsub('[\\"]', '\\%0'):gsub('%s+', ' ') .. '"'
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

-- Formulas say themselves in TeX to those who do not see them, as PDF/UA asks.
local function formula(element)
  local typst = pandoc.write(pandoc.Pandoc {pandoc.Plain {element}}, 'typst'):gsub('%s+$', '')
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
  content = common.set_widths(content, div.attributes['tbl-colwidths'])
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

local function callout(div, kind)
  local name, content = common.callout_parts(div, kind)
  local head = pandoc.Inlines {inline('#callout(kind: "' .. kind .. '", title: [')}
  head:extend(name)
  head:insert(inline '])[')
  local blocks = pandoc.Blocks {pandoc.Plain(head)}
  blocks:extend(content)
  blocks:insert(raw ']')
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
  local kind = common.class_like(div, '^callout%-(%a+)$')
  if kind then return callout(div, kind) end
  if common.has_class(div, 'landscape') then return wrapped(div, '#page(flipped: true)[', ']') end
  if common.has_class(div, 'quarto-layout-cell') then return wrapped(div, '[', '],') end
  if common.has_class(div, 'quarto-layout-panel') then
    return wrapped(div, '#grid(columns: (1fr,) * ' .. div.attributes.ncol .. ', gutter: 1.2em,', ')')
  end
  if common.has_class(div, 'cell') or common.has_class(div, 'cell-output') then return div.content end
end

function M.render(doc, index)
  doc = doc:walk {Math = formula}
  return doc:walk {
    Image = image,
    Span = function(span) return equation(span, index) end,
    Table = function(element)
      element.classes:insert 'typst:no-figure'
      return {raw '#align(center)[', element, raw ']'}
    end,
    Div = function(div) return division(div, index) end,
  }
end

return M
