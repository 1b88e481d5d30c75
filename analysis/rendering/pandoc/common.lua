-- What the other modules share: problems found, files read, small constructors.
local M = {}
local problems = {}

-- Remember a problem; `needle` is what to look for in report.qmd to name the line.
function M.problem(needle, message)
  table.insert(problems, {needle = needle, message = message})
end

-- Remember what lies outside the subset, and what is offered in its place.
function M.outside(needle, what, given, allowed)
  table.insert(problems, {needle = needle, what = what, given = given, allowed = allowed})
end

-- Hand the problems to the caller, one JSON object a line on stderr.
function M.report()
  for _, found in ipairs(problems) do
    io.stderr:write('problem ' .. pandoc.json.encode(found) .. '\n')
  end
end

function M.has_class(element, name)
  return element.classes ~= nil and element.classes:includes(name)
end

-- The content of an image file, or nothing if there is none. Those that chunks made lie in the folder of work.
function M.read_image(source)
  local path = source:gsub('%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end)
  local made = path:match '^made%-by%-chunks/(.+)$'
  local file = io.open(made and os.getenv 'RENDER_WORK' .. '/' .. made or path, 'rb')
  if not file then
    local name = path:find('%c') and source or path -- as the author wrote it
    M.problem(name, 'the image ' .. name .. ' is missing here: put it there, or correct its path.')
    return nil
  end
  local content = file:read('a')
  file:close()
  if not content or content == '' then
    M.problem(path:find('%c') and source or path, 'the image ' .. path .. ' is ' .. (content and 'empty' or 'a folder')
      .. ': name a file that holds an image.')
    return nil
  end
  return content
end

-- What an image says to those who do not see it: fig-alt, alt, or its caption.
function M.alt(image)
  return image.attributes['fig-alt'] or image.attributes.alt or pandoc.utils.stringify(image.caption)
end

-- Blocks without their last paragraph, and that paragraph's inlines: the caption of a float div.
function M.split_caption(blocks)
  local last = blocks[#blocks]
  if #blocks > 1 and last and (last.t == 'Para' or last.t == 'Plain')
      and not (#last.content == 1 and last.content[1].t == 'Image') then
    local rest = pandoc.Blocks(blocks)
    rest:remove(#rest)
    return rest, last.content
  end
  return blocks, pandoc.Inlines {}
end

-- fig, tbl for a div or figure whose label makes it a numbered float.
function M.float_kind(element)
  local kind = (element.identifier or ''):match('^(%a+)%-')
  if kind == 'fig' or kind == 'tbl' then return kind end
end

-- Columns as wide as `tbl-colwidths` says: shares of the whole, in percent.
function M.set_widths(blocks, widths)
  if not widths then return blocks end
  local shares, total = {}, 0
  for share in widths:gmatch '[%d.]+' do
    table.insert(shares, tonumber(share))
    total = total + tonumber(share)
  end
  return blocks:walk {
    Table = function(element)
      element.colspecs = element.colspecs:map(function(spec, i)
        return {spec[1], shares[i] and shares[i] / math.max(total, 100) or spec[2]}
      end)
      return element
    end,
  }
end

-- A float div that is labelled as a table holds one, and a captioned table has a label.
function M.check_tables(doc)
  doc:walk {
    Table = function(element)
      if #element.caption.long > 0 then
        local words = pandoc.utils.stringify(element.caption.long)
        M.problem(words:match '%S+' or '', 'a table with a caption and no label: write `: caption {#tbl-…}`.')
      end
    end,
    Div = function(div)
      if M.float_kind(div) ~= 'tbl' then return nil end
      local tables = 0
      div.content:walk {Table = function() tables = tables + 1 end}
      if tables == 0 then
        M.problem(div.identifier, div.identifier
          .. ' holds no table: end the chunk with the table.')
      end
    end,
  }
end

-- `![caption](file){#fig-x}` as the div that means the same; other figures stay.
function M.figure_as_div(element)
  if not M.float_kind(element) then return nil end
  local content = pandoc.Blocks(element.content)
  content:insert(pandoc.Para(element.caption.long[1] and element.caption.long[1].content or {}))
  return pandoc.Div(content, element.attr)
end

-- A pipe table captioned `: caption {#tbl-x}` likewise.
function M.table_as_div(element)
  if M.float_kind(element) ~= 'tbl' then return nil end
  local attr = element.attr
  local caption = element.caption.long[1] and element.caption.long[1].content or {}
  element.attr = pandoc.Attr()
  element.caption = {long = {}}
  return pandoc.Div({element, pandoc.Para(caption)}, attr)
end

M.titles = {fig = 'Figure', tbl = 'Table', sec = 'Section', eq = 'Equation'}
M.nbsp = '\u{a0}'

return M
