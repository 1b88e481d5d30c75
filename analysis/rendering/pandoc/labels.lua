-- Numbers for sections, figures, tables and equations, and the references to them.
local common = require 'common'
local M = {}
local prefixes = {fig = true, tbl = true, sec = true, eq = true}

-- `$$…$$ {#eq-x}` as Span(#eq-x .equation) around the formula, within a paragraph's inlines.
local function mark_equations(block)
  local inlines = block.content
  local i = 1
  local changed = false
  while i <= #inlines do
    local math = inlines[i]
    if math.t == 'Math' and math.mathtype == 'DisplayMath' then
      local at = i + 1
      if inlines[at] and (inlines[at].t == 'Space' or inlines[at].t == 'SoftBreak') then at = at + 1 end
      local label = inlines[at] and inlines[at].t == 'Str' and inlines[at].text:match '^{#(eq%-[%w-]+)}'
      if label then
        local after = inlines[at].text:match '^{#eq%-[%w-]+}(.+)$'
        inlines[i] = pandoc.Span({math}, pandoc.Attr(label, {'equation'}))
        for _ = i + 1, at do inlines:remove(i + 1) end
        if after then inlines:insert(i + 1, pandoc.Str(after)) end
        changed = true
      end
    end
    i = i + 1
  end
  if not changed then return nil end
  block.content = inlines
  return block
end

-- Label → {kind, number, text}; floats and equations are numbered in the order of the document.
function M.number(doc)
  local index, counts, section = {}, {fig = 0, tbl = 0, eq = 0}, {}
  doc.blocks = doc.blocks:walk {
    traverse = 'topdown',
    Table = function(element) return element, false end, -- no cell holds one, and they are many
    Para = mark_equations,
    Plain = mark_equations,
  }

  local function add(label, kind, number, text)
    if index[label] then common.problem(label, 'label ' .. label .. ' stands twice: rename one.') end
    index[label] = {kind = kind, number = number, text = text or (common.titles[kind] .. common.nbsp .. number)}
  end

  local function subfloats(float, kind, number)
    local letter = 0
    float.content:walk {
      Div = function(div)
        if common.float_kind(div) then
          letter = letter + 1
          local part = '(' .. string.char(96 + letter) .. ')'
          local text = common.titles[kind] .. common.nbsp .. number .. common.nbsp .. part
          add(div.identifier, kind, part, text)
          index[div.identifier].sub = true
        end
      end,
    }
  end

  local function float(element)
    local kind = common.float_kind(element)
    if not kind then return nil end
    counts[kind] = counts[kind] + 1
    add(element.identifier, kind, tostring(counts[kind]))
    subfloats(element, kind, tostring(counts[kind]))
    return element, false -- what lies within is numbered with it
  end

  doc.blocks:walk {
    traverse = 'topdown',
    Div = float,
    Header = function(header)
      if common.has_class(header, 'unnumbered') then return nil end
      for level = 1, header.level do section[level] = section[level] or 0 end
      section[header.level] = section[header.level] + 1
      for level = header.level + 1, #section do section[level] = nil end
      if header.identifier:match '^sec%-' then
        add(header.identifier, 'sec', table.concat(section, '.', 1, header.level))
      end
    end,
  }
  doc.blocks:walk {
    Span = function(span)
      if common.has_class(span, 'equation') then
        counts.eq = counts.eq + 1
        add(span.identifier, 'eq', tostring(counts.eq))
      end
    end,
  }
  return index
end

local function linked(citation, index)
  local label = citation.id:gsub('^%u', string.lower)
  local found = index[label]
  if not found then
    common.problem(citation.id, '@' .. citation.id .. ' refers to nothing: label a figure, table, section '
      .. '(numbered) or equation so, or correct it.')
    return pandoc.Inlines {pandoc.Str('@' .. citation.id)}
  end
  local shown = found.text
  if citation.mode == 'SuppressAuthor' then
    shown = found.number
  elseif #citation.prefix > 0 then
    local inlines = pandoc.Inlines(citation.prefix)
    inlines:extend {pandoc.Str(common.nbsp .. found.number)}
    return pandoc.Inlines {pandoc.Link(inlines, '#' .. label, '', pandoc.Attr('', {'quarto-xref'}))}
  end
  return pandoc.Inlines {pandoc.Link({pandoc.Str(shown)}, '#' .. label, '', pandoc.Attr('', {'quarto-xref'}))}
end

local function known_citations(doc)
  local known = {}
  if doc.meta.bibliography or doc.meta.references then
    for _, entry in ipairs(pandoc.utils.references(doc)) do known[entry.id] = true end
  end
  return known
end

-- References become links; a citation that no bibliography holds is a problem.
function M.resolve(doc, index)
  local known
  local function resolve(cite)
    local inlines = pandoc.Inlines {}
    local references = 0
    for _, citation in ipairs(cite.citations) do
      if prefixes[citation.id:match('^(%a+)%-') and citation.id:match('^(%a+)%-'):lower() or ''] then
        references = references + 1
        if references > 1 then inlines:extend {pandoc.Str(','), pandoc.Space()} end
        inlines:extend(linked(citation, index))
        inlines:extend(citation.suffix)
      else
        known = known or known_citations(doc)
        if not known[citation.id] then
          common.problem(citation.id, '@' .. citation.id .. ' is not in the bibliography: add the entry, or correct the key.')
        end
      end
    end
    if references == 0 then return nil end
    if references < #cite.citations then
      common.problem(cite.citations[1].id, 'one bracket holds references and citations: separate them.')
    end
    return inlines
  end
  return doc:walk {Cite = resolve}
end

-- A link to an anchor that does not exist is dead in HTML and stops the PDF.
function M.check_links(doc)
  local anchors = {}
  local function note(element)
    if element.identifier and element.identifier ~= '' then anchors[element.identifier] = true end
  end
  local noting = {} -- not of words and spaces, most of a document
  for _, name in ipairs {'Code', 'CodeBlock', 'Div', 'Figure', 'Header', 'Image', 'Link', 'Span', 'Table'} do
    noting[name] = note
  end
  doc:walk(noting)
  doc:walk {
    Link = function(link)
      local target = link.target:match '^#(.+)$'
      if target and not anchors[target] then
        common.problem('#' .. target, 'the link to #' .. target .. ' leads nowhere: give the heading {#'
          .. target .. '}, or correct it.')
      end
    end,
  }
end

return M
