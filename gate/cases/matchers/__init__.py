"""One expected value against one given value: the `$` matchers, schemas, and the reasons in words.

An expected value is plain JSON. A literal is equal to the given value: 1 == 1.0, but "1" != 1 and true != 1; integers
of any size compare exactly, -0.0 is 0, texts compare code point by code point (a composed "é" is not a decomposed one),
an explicit null is not an absent key. A matcher is an object with one `$` key:

    {"$any": [M, …]}                      one of these literals or matchers
    {"$optional": M}                      M, or absent; only as the direct value of an object's key
    {"$regex": "…"}                       a text that the pattern (library `regex`) matches in full, within a second
    {"$contains": V}                      a text with the text V in it, or a list with an element that matches V
    {"$text": "…"}                        equal ignoring case, white space, ,./-_*^'"` and Unicode composition (NFC)
    {"$number": 3.1, "tolerance": 0.01}   that number give or take, ends included, reckoned in decimals as written
    {"$schema": {…}}                      valid by a JSON Schema (draft 2020-12, no remote $ref, `format` not asserted)
    {"$anything": true}                   any value that is there
    {"$literal": V}                       exactly V, nothing in it read as a matcher: for keys that start with `$`

To `$text` "-5" is "5" and "1.5" is "15": use it for names, not for amounts. Whatever a model gives is data and never
raises; a bad or too slow pattern, or a schema that cannot be followed, is the case's fault: CaseError.

A matcher is a class in `texts` or `values`, a subclass of gate.cases.matchers.matcher.Matcher. Whatever reads an
expectation asks these classes, by the functions of that module.
"""

from gate.cases.matchers import texts, values

__all__ = ("texts", "values")
