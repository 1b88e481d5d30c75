-- Shapes that depend on the format or on the document's options, made uniform before numbering.
local common = require 'common'
local M = {}
local format = FORMAT:match 'html' and 'html' or 'typst'

local function visible(element)
  local shown, hidden = common.has_class(element, 'content-visible'), common.has_class(element, 'content-hidden')
  if not (shown or hidden) then return nil end
  local wanted, excluded = element.attributes['when-format'], element.attributes['unless-format']
  local applies = (wanted == nil or wanted == format) and (excluded == nil or excluded ~= format)
  return applies == shown
end

-- Content for the other format is dropped, the marks of the rest are removed.
function M.conditional(doc)
  local function keep(element)
    local verdict = visible(element)
    if verdict == false then return {} end
    if verdict then return element.content end
  end
  return doc:walk {Div = keep, Span = keep}
end

-- A tabset's headings become its tabs' names: neither numbered nor in the table of contents.
function M.tabsets(doc)
  return doc:walk {
    Div = function(div)
      if not common.has_class(div, 'panel-tabset') then return nil end
      if format == 'typst' then
        common.problem('panel-tabset', 'a tabset shows in HTML only: put it inside ::: {.content-visible when-format="html"}.')
        return div
      end
      local tabs = pandoc.Blocks {}
      local level
      for _, block in ipairs(div.content) do
        level = level or (block.t == 'Header' and block.level)
        if block.t == 'Header' and block.level == level then
          local title = pandoc.Div({pandoc.Plain(block.content)}, pandoc.Attr('', {'tab-title'}))
          tabs:insert(pandoc.Div({title}, pandoc.Attr('', {'tab-pane'})))
        elseif #tabs > 0 then
          tabs[#tabs].content:insert(block)
        else
          common.problem('panel-tabset', 'what stands before the first tab would vanish: put it before the tabset.')
        end
      end
      if #tabs == 0 then common.problem('panel-tabset', 'a tabset has headings, one a tab: add `## Name`.') end
      return pandoc.Div(tabs, div.attr)
    end,
  }
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
