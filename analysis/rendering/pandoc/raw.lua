-- Raw HTML and TeX in Markdown: what both files can show becomes Markdown's own, the rest is a problem.
-- Pandoc takes any `<word>` for HTML and any `\word` for TeX, and drops both where they mean nothing.
local common = require 'common'
local M = {}

local elements = {}
for name in ([[a abbr address area article aside audio b bdi bdo big blockquote br button canvas caption
  center cite code col colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset
  figcaption figure font footer form h1 h2 h3 h4 h5 h6 header hgroup hr i iframe img input ins kbd label
  legend li link main map mark math menu meta meter nav noscript object ol optgroup option output p param
  picture pre progress q rp rt ruby s samp script search section select slot small source span strike
  strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt
  u ul var video wbr]]):gmatch '%S+' do
  elements[name] = true
end

local pairs_of = {
  b = pandoc.Strong, strong = pandoc.Strong, i = pandoc.Emph, em = pandoc.Emph, sub = pandoc.Subscript,
  sup = pandoc.Superscript, u = pandoc.Underline, ins = pandoc.Underline, s = pandoc.Strikeout,
  del = pandoc.Strikeout, strike = pandoc.Strikeout,
}
for _, name in ipairs {'kbd', 'mark', 'dfn'} do -- pandoc writes spans of these classes as such elements
  pairs_of[name] = function(inlines) return pandoc.Span(inlines, pandoc.Attr('', {name})) end
end

local function is_raw(element, format)
  return (element.t == 'RawInline' or element.t == 'RawBlock') and element.format == format
end

-- The name of the one tag that the element is, with a slash if it closes; nothing for anything else.
local function tag(element)
  if not is_raw(element, 'html') then return nil end
  local text = element.text:match '^%s*(.-)%s*$'
  if not text:match '^<[^<>]*>$' then return nil end
  local slash, name = text:match '^<(/?)([%a][%w:-]*)'
  return name and slash .. name:lower()
end

-- `<img src="dot.svg" alt="A dot" width="30%">` as Markdown's image.
local function image(element)
  local given = {}
  for name, value in element.text:gmatch '([%w-]+)%s*=%s*"([^"]*)"' do given[name:lower()] = value end
  for name, value in element.text:gmatch "([%w-]+)%s*=%s*'([^']*)'" do given[name:lower()] = value end
  for name, value in element.text:gmatch '([%w-]+)%s*=%s*([^%s"\'>]+)' do
    given[name:lower()] = given[name:lower()] or value
  end
  if not given.src then return nil end
  local attributes = {['fig-alt'] = given.alt, width = given.width, height = given.height}
  return pandoc.Image({}, given.src, given.title or '', pandoc.Attr(given.id or '', {}, attributes))
end

-- Where the tag that was opened at `start` is closed, among the inlines beside it.
local function closing(inlines, start, name)
  local depth = 0
  for at = start, #inlines do
    local found = tag(inlines[at])
    depth = depth + (found == name and 1 or found == '/' .. name and -1 or 0)
    if depth == 0 then return at end
  end
end

local function translated(inlines)
  if not inlines:find_if(function(inline) return is_raw(inline, 'html') end) then return nil end
  local result, at = pandoc.Inlines {}, 1
  while at <= #inlines do
    local name = tag(inlines[at])
    local close = name and pairs_of[name] and closing(inlines, at, name)
    if close then
      local inner = pandoc.Inlines {}
      for between = at + 1, close - 1 do inner:insert(inlines[between]) end
      result:insert(pairs_of[name](translated(inner) or inner))
      at = close
    elseif name == 'br' then
      result:insert(pandoc.LineBreak())
    else
      result:insert(name == 'img' and image(inlines[at]) or inlines[at])
    end
    at = at + 1
  end
  return result
end

-- What Markdown can say too is shown by both files.
function M.translate(doc)
  local any = false
  doc:walk {RawInline = function() any = true end}
  return doc:walk {
    Inlines = any and translated or nil,
    RawBlock = function(block)
      local name = tag(block)
      if name == 'hr' then return pandoc.HorizontalRule() end
      if name == 'br' then return {} end
      local found = name == 'img' and image(block)
      return found and pandoc.Para {found} or nil
    end,
  }
end

local function first_line(text) return (text:match '^%s*([^\n]*)'):gsub('%s+$', '') end

local function is_macro(text)
  return text:match '^%s*\\[%a]*newcommand' or text:match '^%s*\\renewcommand' or text:match '^%s*\\def%f[^%a]'
    or text:match '^%s*\\let%f[^%a]' or text:match '^%s*\\providecommand' or text:match '^%s*\\DeclareMathOperator'
    or text:match '^%s*\\newenvironment'
end

local function each_raw(doc, act)
  doc:walk {RawInline = act, RawBlock = act}
end

-- TeX, tags that HTML does not know, and other programs' formats would be in neither file.
function M.vanishing(doc)
  each_raw(doc, function(raw)
    local shown, name = first_line(raw.text), tag(raw)
    local tex = raw.format == 'tex' or raw.format == 'latex'
    if tex and is_macro(raw.text) then return end
    if tex and shown:match '^\\' then
      common.problem(shown, 'TeX outside of formulas, ' .. shown .. ', would be in neither file: write Markdown, '
        .. 'or a second backslash, \\' .. shown .. ', to show it as it is.')
    elseif name and not elements[name:gsub('^/', '')] then
      common.problem(shown, shown .. ' would be taken for HTML, and vanish: write \\' .. shown
        .. ', or code in `…`.')
    elseif is_raw(raw, 'html') and raw.text:match '^%s*<[?!]' and not raw.text:match '^%s*<!%-%-' then
      common.problem(shown, shown .. ' would be taken for HTML, and vanish: write \\' .. shown .. '.')
    elseif raw.format ~= 'html' and raw.format ~= 'typst' then
      common.outside('{=' .. raw.format .. '}', 'format of raw text', raw.format, {'html', 'typst'})
    end
  end)
end

-- Other HTML shows in the page, and not in the PDF: it stands where that is said.
function M.page_only(doc)
  each_raw(doc, function(raw)
    local name, shown = tag(raw), first_line(raw.text)
    if name then
      common.problem(shown, shown .. ' is HTML, which the PDF cannot hold: write Markdown, put it inside '
        .. '::: {.content-visible when-format="html"}, or write \\' .. shown .. ' to show it as it is.')
    end
  end)
end

return M
