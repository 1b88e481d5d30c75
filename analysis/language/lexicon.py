"""The words of the built-in language: four topics, people, things, actions, places, opinions.

Plain data in a small notation that `words.py` reads: `a=b` are synonyms, `name:f|m|p` gives the
pronoun (she, he, they), and after a colon stands what a word likes to go with.
"""

TOPICS = """
topic council
people mayor:f councillor:m clerk:f treasurer:m voters:p shopkeepers:p Clara:f Edwin:m
traits weary proud cautious stubborn popular honest
thing budget: annual modest final generous
thing plan=scheme: bold secret detailed sensible
thing bridge: old narrow wooden famous
thing school: new crowded small
thing library: public quiet historic
thing tax: local unfair modest
thing park: green neglected public
thing road=street: dusty narrow main
thing report: critical lengthy draft
action approve=endorse: budget plan report
action reject=dismiss: plan tax budget
action open: bridge school library park
action close=shut: road library school bridge
action repair=mend: bridge road library
action discuss=debate: budget plan tax report
action defend: budget tax plan
action oppose: tax road
places in the town hall; on the market square; behind closed doors; across the river
moments after the vote; before the election; during the meeting; in spring

topic football
people goalkeeper:m striker:f captain:f coach=trainer:m defender:f supporters:p Bruno:m Nadia:f
traits nervous brilliant injured fearless young clumsy
thing match=game: tense final friendly rough
thing goal: late lucky early superb
thing penalty: soft disputed late
thing ball: wet heavy new
thing trophy: golden heavy missing
thing pass: long careless clever
thing jersey=shirt: striped muddy famous
thing chance: golden rare final
action win: match trophy penalty
action lose: match ball trophy
action score: goal penalty
action miss: penalty chance pass match
action celebrate: goal trophy
action waste=squander: chance pass
action kick=strike: ball
action dispute=contest: penalty goal
places in the crowded stadium; on the muddy pitch; under the floodlights; near the goal line
moments before half time; in extra time; after the break; on the last day

topic cooking
people cook=chef:f baker:m waiter:m grandmother:f apprentice:f guests:p Rosa:f Felix:m
traits hungry patient famous generous fussy clumsy
thing soup: hot thick salty spicy
thing loaf: warm crusty burnt round
thing pie: golden warm enormous
thing cake: sweet enormous golden chocolate
thing sauce: thick spicy bitter smooth
thing recipe: secret simple old
thing kitchen: tiny hot spotless
thing knife: sharp blunt heavy
thing pot=pan: copper heavy old
action bake: loaf pie cake
action taste=sample: soup sauce cake
action burn: loaf pie sauce
action serve: soup pie
action clean=scrub: kitchen pot knife
action sharpen: knife
action invent: recipe sauce
action slice=carve: loaf cake pie
action share: recipe pie
places beside the oven; in the back garden; at the long table; over a low fire
moments before breakfast; after supper; at noon; in the early morning

topic sea
people sailor:m helmsman:m navigator:f fisherman:m passengers:p smugglers:p Marina:f Silas:m
traits brave seasick silent ragged sober restless
thing ship=vessel: leaking tall merchant
thing island: lonely green rocky distant
thing anchor: rusty heavy iron
thing sail: torn white patched
thing harbour=port: sheltered busy foreign
thing whale: grey enormous gentle
thing net: torn empty heavy
thing map: faded secret torn
thing cargo: precious stolen heavy
action steer: ship
action sight=spot: island whale ship harbour
action reach: island harbour
action raise=hoist: anchor sail
action lower: sail anchor net
action follow=track: whale ship map
action mend=patch: net sail
action hide=conceal: cargo map
action lose: anchor net cargo
places below deck; beyond the reef; off the northern coast; in open water
moments at high tide; before the storm; under a full moon; at midnight

"""

# What people do to people, in every topic.
ENCOUNTERS = """
praise=commend thank call=phone greet=salute meet=encounter help=assist visit warn=caution
blame=accuse invite follow teach=instruct
"""

# base: past participle (one form where they agree)
IRREGULAR = """
shut: shut; lose: lost; win: won; strike: struck; hide:
hid hidden; find: found; build: built; meet: met; teach: taught
"""
DOUBLED = "drop spot scrub stir stop"  # regular verbs whose last letter doubles: dropped, dropping
DOUBLED_BEFORE_ING = "shut forget win"

ADVERBS = """
quietly quickly slowly carefully suddenly finally proudly gladly secretly reluctantly calmly
"""
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
TOWNS = """
Ashford Marlow Brinton Calder Dunmore Elswick Fenwick Garston Halden Kelby Lorne Norwell Oakham
Penrith Ravel Selby
"""

# domain: aspects; an aspect: adjectives that praise it | adjectives that condemn it.
# Some adjectives praise one thing and condemn another: thin crust, thin plot.
REVIEWS = """
domain film
aspect plot: clever gripping tight | thin predictable tangled
aspect ending: moving surprising | predictable rushed
aspect dialogue: sharp witty | flat wooden
aspect lead actor: convincing subtle | wooden loud
aspect camera work: steady inventive | shaky restless
domain restaurant
aspect pizza crust: thin crisp | thick soggy
aspect soup: hot rich | cold thin
aspect lemonade: cold fresh | warm flat
aspect service: warm quick | cold slow
aspect bill: small fair | heavy steep
domain hotel
aspect bed: soft wide | hard narrow
aspect room: quiet bright | loud dark
aspect welcome: warm quick | cold slow
aspect view: wide lovely | blocked grim
aspect breakfast: fresh rich | stale cold
domain concert
aspect drummer: steady loud | clumsy late
aspect singer: subtle soulful | shaky late
aspect sound: clean rich | thin heavy
aspect encore: long moving | short rushed
aspect hall: warm intimate | draughty cold
"""
PRAISE = """
wonderful excellent charming delightful superb brilliant impressive memorable pleasant perfect
"""
CONDEMNATION = """
awful terrible boring dreadful dull poor disappointing forgettable unpleasant tedious
"""
LIKING = "loved enjoyed admired"
DISLIKING = "hated disliked regretted"
INTENSIFIERS = "very truly quite absolutely"
