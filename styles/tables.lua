-- Tables of the page: the first cell of a row is its header; below it, an empty one belongs to it.
-- A filter for both engines, named under `filters` in _quarto.yml.

local function headed(body)
  local above
  for _, row in ipairs(body.body) do
    local first = row.cells[1]
    if above and pandoc.utils.stringify(first.contents) == '' then
      above.row_span = above.row_span + 1
      row.cells:remove(1)
    else
      first.attr.attributes.scope = 'row'
      above = first
    end
  end
  body.row_head_columns = 1
  return body
end

function Table(element)
  element.bodies = element.bodies:map(headed)
  return element
end
