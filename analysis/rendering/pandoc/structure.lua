-- Shapes that depend on the format or on the document's options, made uniform before numbering.
local common = require 'common'
local M = {}
local format = FORMAT:match 'html' and 'html' or 'typst'

-- What metadata files say of `facts.trained`; nothing if they say nothing.
function M.fact(doc, path)
  local found = doc.meta.conditions
  for name in path:gmatch '[^.]+' do
    if pandoc.utils.type(found) ~= 'table' then return nil end
    found = found[name]
  end
  return found
end

-- Whether the element's conditions, all of them, are met; nothing if it has none.
local function visible(element, doc)
  local shown, hidden = common.has_class(element, 'content-visible'), common.has_class(element, 'content-hidden')
  if not (shown or hidden) then return nil end
  local applies = true
  for key, value in pairs(element.attributes) do
    local met = key:match '%-meta$' and M.fact(doc, value) or key:match '%-format$' and value == format
    applies = applies and (met and true or false) == (key:match '^when' ~= nil)
  end
  return applies == shown
end

-- Content for the other format is dropped, the marks of the rest are removed.
function M.conditional(doc)
  local function keep(element)
    local verdict = visible(element, doc)
    if verdict == false then return {} end
    if verdict then return element.content end
  end
  return doc:walk {Div = keep, Span = keep}
end

-- Labelled floats in one shape: a div of content and caption. `::: {#fig-x}` written around a chunk:
-- the chunk's cell gives way to its content.
function M.floats(doc)
  local function unwrapped(blocks)
    local flat = pandoc.Blocks {}
    for _, block in ipairs(blocks) do
      if block.t == 'Div' and common.has_class(block, 'cell') and not common.float_kind(block) then
        flat:extend(unwrapped(block.content))
      else
        flat:insert(block)
      end
    end
    return flat
  end
  return doc:walk {
    Figure = common.figure_as_div,
    Table = common.table_as_div,
    Div = function(div)
      if common.float_kind(div) then
        div.content = unwrapped(div.content)
        return div
      end
    end,
  }
end

-- `layout-ncol`: the blocks become cells of a panel, a float's caption stays outside.
function M.layouts(doc)
  return doc:walk {
    Div = function(div)
      local ncol = div.attributes['layout-ncol']
      if not ncol then return nil end
      div.attributes['layout-ncol'] = nil
      local content, caption = div.content, nil
      if common.float_kind(div) then content, caption = common.split_caption(div.content) end
      local cells = pandoc.Blocks(content):map(function(block)
        return pandoc.Div({block}, pandoc.Attr('', {'quarto-layout-cell'}))
      end)
      local panel = pandoc.Div(cells, pandoc.Attr('', {'quarto-layout-panel'}, {ncol = ncol}))
      div.content = caption and {panel, pandoc.Para(caption)} or {panel}
      return div
    end,
  }
end

return M
