-- HTML: floats, folded code and embedded images, with the class names that Quarto uses.
local common = require 'common'
local M = {}

local function raw(html) return pandoc.RawBlock('html', html) end

local types = {
  svg = 'image/svg+xml', png = 'image/png', jpg = 'image/jpeg', jpeg = 'image/jpeg', gif = 'image/gif',
  webp = 'image/webp',
}

local function image(element)
  if element.src:match '^data:' then return nil end
  local content = common.read_image(element.src)
  local extension = (element.src:match '%.(%w+)$' or ''):lower()
  if content and not types[extension] then
    common.problem(element.src, 'the image ' .. element.src .. ' is no svg, png, jpg, gif or webp.')
  elseif content then
    local alt = common.alt(element)
    local made = element.src:match '^made%-by%-chunks/' -- webpage.py puts these in, at once
    element.src = made and element.src or pandoc.mediabag.make_data_uri(types[extension], content)
    element.caption = pandoc.Inlines(alt == '' and {} or {pandoc.Str(alt)})
    element.title = ''
    element.attributes['fig-alt'], element.attributes.alt = nil, nil
    element.classes:extend {'img-fluid', 'figure-img'}
    return element
  end
end

local function code(block)
  local fold = block.attributes['code-fold']
  if not fold then return nil end
  block.attributes['code-fold'] = nil
  if fold ~= 'true' then return block end
  return {raw '<details class="code-fold"><summary>Code</summary>', block, raw '</details>'}
end

local function tab(element)
  element.classes:insert 'table'
  for _, row in ipairs(element.head.rows) do
    for _, cell in ipairs(row.cells) do cell.attr.attributes.scope = 'col' end
  end
  return element
end

local function captioned(caption, entry)
  local inlines = pandoc.Inlines {pandoc.Str(entry.sub and entry.number or entry.text .. (#caption > 0 and ':' or ''))}
  if #caption > 0 then inlines:insert(pandoc.Space()) end
  inlines:extend(caption)
  return pandoc.Plain(inlines)
end

local function float(div, index)
  local kind = common.float_kind(div)
  local entry = index[div.identifier]
  local content, caption = common.split_caption(div.content)
  content = common.set_widths(content, div.attributes['tbl-colwidths'])
  div.attributes['tbl-colwidths'] = nil
  local place = kind == 'tbl' and 'top' or 'bottom'
  local prefix = entry.sub and 'quarto-subfloat-' or 'quarto-float-'
  local id = div.identifier .. '-caption'
  local head = pandoc.Blocks {
    raw('<figcaption id="' .. id .. '" class="quarto-float-caption quarto-float-caption-' .. place .. ' '
      .. prefix .. kind .. '">'),
    captioned(caption, entry),
    raw '</figcaption>',
  }
  local body = pandoc.Blocks {raw('<div class="float-body" aria-describedby="' .. id .. '">')}
  body:extend(content)
  body:insert(raw '</div>')
  local figure = pandoc.Blocks {raw('<figure class="quarto-float ' .. prefix .. kind .. ' figure">')}
  figure:extend(kind == 'tbl' and head or body)
  figure:extend(kind == 'tbl' and body or head)
  figure:insert(raw '</figure>')
  local classes = pandoc.List {'quarto-float', 'quarto-figure', 'anchored'}
  classes:extend(div.classes)
  return pandoc.Div(figure, pandoc.Attr(div.identifier, classes))
end

local function equation(span, index)
  if not common.has_class(span, 'equation') then return nil end
  span.classes = pandoc.List {'quarto-equation'}
  span.content:insert(pandoc.Span({pandoc.Str('(' .. index[span.identifier].number .. ')')}, pandoc.Attr('', {'eq-number'})))
  return span
end

local function division(div, index)
  if common.float_kind(div) then return float(div, index) end
  if common.has_class(div, 'quarto-layout-panel') then
    div.attributes.style = '--columns: ' .. div.attributes.ncol
    div.attributes.ncol = nil
    return div
  end
end

function M.render(doc, index)
  return doc:walk {
    Image = image,
    CodeBlock = code,
    Table = tab,
    Span = function(span) return equation(span, index) end,
    Div = function(div) return division(div, index) end,
  }
end

return M
