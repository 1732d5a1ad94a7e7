"""Cases from what was met in use, and a look over every case file: `gate add` and `gate lint-cases`."""
