-- The one filter for both formats: from Quarto's Markdown to what the page or the PDF shows.
-- Order matters: content that is not for this format goes first, so that it is neither numbered nor
-- refused; references are resolved before citeproc, which would take them for citations.
local here = pandoc.path.directory(PANDOC_SCRIPT_FILE)
-- no package.path: a `;` or `?` in the folder's name would mean something there
for _, name in ipairs {'common', 'labels', 'raw', 'structure', 'tables', 'typst', 'webpage'} do
  package.preload[name] = function() return dofile(here .. '/' .. name .. '.lua') end
end

local common = require 'common'
local raw = require 'raw'
local structure = require 'structure'
local labels = require 'labels'
local writer = require(FORMAT:match 'html' and 'webpage' or 'typst')

function Pandoc(doc)
  doc = structure.conditional(doc)
  doc = raw.translate(doc)
  raw.vanishing(doc)
  doc = structure.floats(doc)
  doc = structure.layouts(doc)
  local index = labels.number(doc)
  doc = labels.resolve(doc, index)
  labels.check_links(doc)
  common.check_tables(doc)
  if doc.meta.bibliography then doc = pandoc.utils.citeproc(doc) end
  doc.meta.bibliography = nil
  doc = writer.render(doc, index)
  common.report()
  return doc
end
