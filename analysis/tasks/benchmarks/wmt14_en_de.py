"""WMT 2014, English to German (Bojar et al. 2014): newstest2014."""

from analysis.tasks.wmt import newstest

TASK = newstest("de", "de-en", "German")
