-- A document as it is read: problems that its text alone shows.
local here = pandoc.path.directory(PANDOC_SCRIPT_FILE)
for _, name in ipairs {'common', 'raw', 'structure'} do
  package.preload[name] = function() return dofile(here .. '/' .. name .. '.lua') end
end
local common = require 'common'
local raw = require 'raw'
local structure = require 'structure'

-- What numbers and names formulas in LaTeX would vanish from them.
local function numbered(math)
  for _, name in ipairs {'tag', 'label', 'ref', 'eqref', 'cite'} do
    local found = math.text:match('\\' .. name .. '%f[%A]%s*%b{}')
    if found then
      common.problem(found, found .. ' in a formula would be in neither file: write {#eq-…} behind it to number it, '
        .. '@eq-… to refer to it.')
    end
  end
end

function Pandoc(doc)
  doc:walk {Math = numbered}
  doc = raw.translate(doc)
  raw.vanishing(doc)
  raw.page_only(structure.conditional(doc)) -- what is for the page alone is not in the PDF's document
  common.report()
  return doc
end
