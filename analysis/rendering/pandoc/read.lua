-- The document as it is read, before anything runs: problems that its text alone shows.
local here = pandoc.path.directory(PANDOC_SCRIPT_FILE)
for _, name in ipairs {'common', 'raw', 'structure'} do
  package.preload[name] = function() return dofile(here .. '/' .. name .. '.lua') end
end
local common = require 'common'
local raw = require 'raw'
local structure = require 'structure'

function Pandoc(doc)
  doc = raw.translate(doc)
  raw.vanishing(doc)
  raw.page_only(structure.conditional(doc)) -- what is for the page alone is not in the PDF's document
  common.report()
  return doc
end
