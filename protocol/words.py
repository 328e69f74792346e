"""The words of generated tunnel names.

People read these names aloud and type them on phones. So each word is short, friendly beside any
other, spelt in one way, and sounds like no other English word (no `bare`, `grey` or `sea`). Each
list has 128 words: seven bits of a random byte choose one, all equally often.
"""

from __future__ import annotations

from typing import Final

ADJECTIVES: Final = tuple(
    """
    agile amber ample azure brave breezy bright brisk broad bronze calm candid cheery civic classy
    clean clear clever comfy cosmic crafty crisp curly dapper daring dreamy eager early earthy easy
    epic exact fabled fancy fast fleet floral fluent fluffy fond fresh frosty fuzzy gentle gifted
    glad glossy golden grand green groovy handy happy hardy honest humble ideal indigo jaunty jolly
    jovial joyful keen kind lilac limber lively lofty loyal lucid lucky lunar mellow merry mighty
    mild minty misty modest mossy neat nifty nimble noble novel olive open orange peachy perky
    placid plucky plush polite proud purple quick quiet rapid ready regal robust rosy royal rustic
    sandy scenic serene sharp shiny silent silky silver simple sleek smart smooth snappy snowy snug
    solar solid spry steady upbeat vivid witty zesty
    """.split()
)

NOUNS: Final = tuple(
    """
    acorn alpaca anchor apple arrow aspen atlas badger bamboo banjo basil beacon beaver birch bison
    bonsai bridge brook cabin cactus camel canoe canyon castle cedar cherry cliff clover cobalt
    comet condor copper cosmos cotton coyote cricket crystal dahlia daisy dolphin dragon dune eagle
    echo ember falcon fern ferret fiddle finch forest fossil galaxy garden garnet gecko geyser
    ginger glacier grove guitar harp hazel heron iguana island jaguar jasper kayak kettle kiwi
    koala lagoon lantern lemon lemur lily lotus magpie mango maple marble meadow melon meteor mural
    nebula nectar oasis ocean onyx opal orbit orchid osprey otter panda papaya parrot pebble
    pelican penguin pepper planet pond poplar puffin quartz rabbit raven reef ridge river robin
    rocket saffron sparrow spruce summit sunset tapir thistle tulip tundra turtle walnut willow
    zebra
    """.split()
)
