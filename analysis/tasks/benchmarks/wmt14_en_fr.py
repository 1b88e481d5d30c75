"""WMT 2014, English to French (Bojar et al. 2014): newstest2014."""

from analysis.tasks.wmt import newstest

TASK = newstest("fr", "fr-en", "French")
