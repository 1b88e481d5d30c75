"""What a run will need before it starts, found without computing or downloading anything.

`walk` goes through a study's steps; `estimates` says what they take, by `models` and `counts`;
`preflight` and `missing` what cannot be had; `stale` what has changed since. Commands use it.
"""
