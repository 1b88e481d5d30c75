-- HTML: floats, callouts, tabs, folded code and embedded images, with the class names that Quarto uses.
local common = require 'common'
local M = {}

local function raw(html) return pandoc.RawBlock('html', html) end

local function escaped(text)
  return (text:gsub('[&<>"]', {['&'] = '&amp;', ['<'] = '&lt;', ['>'] = '&gt;', ['"'] = '&quot;'}))
end

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
    element.src = pandoc.mediabag.make_data_uri(types[extension], content)
    element.caption = pandoc.Inlines(alt == '' and {} or {pandoc.Str(alt)})
    element.title = ''
    element.attributes['fig-alt'], element.attributes.alt = nil, nil
    element.classes:extend {'img-fluid', 'figure-img'}
    return element
  end
end

local function code(block)
  local fold, summary = block.attributes['code-fold'], block.attributes['code-summary'] or 'Code'
  if not fold then return nil end
  block.attributes['code-fold'], block.attributes['code-summary'] = nil, nil
  if fold ~= 'true' and fold ~= 'show' then return block end
  return {
    raw('<details class="code-fold"' .. (fold == 'show' and ' open=""' or '') .. '><summary>'
      .. escaped(summary) .. '</summary>'),
    block,
    raw '</details>',
  }
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

local icons = {note = 'i', tip = '✓', important = '!', warning = '!', caution = '!'}

local function callout(div, kind)
  local name, content = common.callout_parts(div, kind)
  local look = div.attributes.appearance or 'default'
  local classes = 'callout callout-style-' .. look .. ' callout-' .. kind .. ' callout-titled'
  local icon = (div.attributes.icon == 'false' or look == 'minimal') and ''
    or '<span class="callout-icon" aria-hidden="true">' .. (icons[kind] or 'i') .. '</span>'
  local fold = div.attributes.collapse
  local id = div.identifier ~= '' and ' id="' .. div.identifier .. '"' or ''
  local outer, header = fold and 'details' or 'div', fold and 'summary' or 'div'
  local open = fold == 'false' and ' open=""' or ''
  local blocks = pandoc.Blocks {
    raw('<' .. outer .. id .. ' class="' .. classes .. '"' .. open .. '><' .. header
      .. ' class="callout-header">' .. icon .. '<span class="callout-title-container">'),
    pandoc.Plain(name),
    raw('</span></' .. header .. '><div class="callout-body-container callout-body">'),
  }
  blocks:extend(content)
  blocks:insert(raw('</div></' .. outer .. '>'))
  return blocks
end

local tabsets = 0

local function tabset(div)
  tabsets = tabsets + 1
  local blocks = pandoc.Blocks {raw '<div class="panel-tabset">'}
  for number, pane in ipairs(div.content) do
    local id = 'tabset-' .. tabsets .. '-' .. number
    local content = pandoc.Blocks(pane.content)
    local title = content:remove(1).content[1]
    blocks:insert(raw('<section class="tab-pane" id="' .. id .. '"><p class="tab-title">'))
    blocks:insert(title)
    blocks:insert(raw '</p>')
    blocks:extend(content)
    blocks:insert(raw '</section>')
  end
  blocks:insert(raw '</div>')
  return blocks
end

local function equation(span, index)
  if not common.has_class(span, 'equation') then return nil end
  span.classes = pandoc.List {'quarto-equation'}
  span.content:insert(pandoc.Span({pandoc.Str('(' .. index[span.identifier].number .. ')')}, pandoc.Attr('', {'eq-number'})))
  return span
end

local function division(div, index)
  if common.float_kind(div) then return float(div, index) end
  local kind = common.class_like(div, '^callout%-(%a+)$')
  if kind then return callout(div, kind) end
  if common.has_class(div, 'panel-tabset') then return tabset(div) end
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
