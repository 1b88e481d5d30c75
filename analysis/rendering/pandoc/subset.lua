-- What of the author's document lies outside the subset that the built-in renderer offers, before anything
-- runs; labels that stand twice, images that are not there.
local here = pandoc.path.directory(PANDOC_SCRIPT_FILE)
for _, name in ipairs {'common', 'structure'} do
  package.preload[name] = function() return dofile(here .. '/' .. name .. '.lua') end
end
local common = require 'common'
local structure = require 'structure'

local CLASSES = pandoc.List {
  'content-hidden', 'content-visible', 'data', 'keep', 'mark', 'smallcaps', 'underline', 'unnumbered', 'wide',
}
local KEYS = pandoc.List {'alt', 'fig-alt', 'height', 'layout-ncol', 'tbl-colwidths', 'width'}
local CONDITIONS = pandoc.List {'unless-format', 'unless-meta', 'when-format', 'when-meta'}
local FORMATS = pandoc.List {'html', 'typst'}
local LABELLED = {Header = 'sec', Table = 'tbl', Image = 'fig', Figure = 'fig'} -- divs: fig, tbl
local labels = {}
for name in ('fig tbl sec eq lst thm lem cor prp cnj def exm exr nte tip wrn imp cau dia'):gmatch '%a+' do
  labels[name] = true
end
local seen = {}

local function label(element)
  local id = element.identifier
  if not id or id == '' then return end
  if seen[id] then common.problem(id, 'label ' .. id .. ' stands twice: rename one.') end
  seen[id] = true
  local kind = id:match '^(%a+)%-'
  local right = element.t == 'Div' and (kind == 'fig' or kind == 'tbl') or kind == LABELLED[element.t]
  if labels[kind] and not right then
    common.outside(id, 'kind of label', id, {'fig-…', 'tbl-…', 'sec-… of a heading', 'eq-… of a formula'})
  end
end

local function attributes(doc, element)
  label(element)
  local conditional = common.has_class(element, 'content-visible') or common.has_class(element, 'content-hidden')
  for _, class in ipairs(element.t ~= 'CodeBlock' and element.t ~= 'Code' and element.classes or {}) do
    if not CLASSES:includes(class) then common.outside('.' .. class, 'class', class, CLASSES) end
  end
  local conditions = 0
  for key, value in pairs(element.attributes or {}) do
    conditions = conditions + 1
    local allowed = conditional and CONDITIONS or KEYS
    if not allowed:includes(key) then common.outside(key, 'attribute', key, allowed) end
    if key:match '%-format$' and not FORMATS:includes(value) then common.outside(value, 'format', value, FORMATS) end
    if conditional and key:match '%-meta$' and structure.fact(doc, value) == nil then
      common.problem(value, 'no file in metadata-files says ' .. value .. ': add it there, or correct it.')
    end
  end
  if conditional and conditions == 0 then common.outside('.' .. element.classes[1], 'condition', '', CONDITIONS) end
end

-- A fence that pandoc took for text.
local function fence(block)
  local shown = block.content[1] and block.content[1].text == ':::' and block.content[3]
  if shown and shown.text then
    common.problem(shown.text, 'this ::: opens nothing: write ::: {.class #label key="value"}, values in quotes.')
  end
end

function Pandoc(doc)
  local function checked(element) attributes(doc, element) end
  doc.blocks:walk {Block = checked, Inline = checked}
  doc.blocks:walk {Para = fence, Plain = fence, Image = function(image) common.read_image(image.src) end}
  common.report()
end
